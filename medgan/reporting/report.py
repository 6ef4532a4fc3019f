"""One HTML page that holds everything it shows."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import fields

from medgan.errors import ReportError
from medgan.reporting.sections import Section
from medgan.reporting.viewer import ViewerSection, niivue_script, script_hash, viewer_script


def render_report(title: str, sections: Sequence[Section], *, subtitle: str = "") -> str:
    """Return a self-contained HTML page: no font, no image, no script from elsewhere, and a policy that forbids them.

    Parameters
    ----------
    title : str
    sections : sequence of sections
        In reading order.
    subtitle : str
        One line below the title: what was run, on what.

    Raises
    ------
    ReportError
        If there is no section.

    Notes
    -----
    All text is escaped; figures are embedded as base64. The page follows the reader's light or dark setting. Only a
    page with a :class:`~medgan.reporting.viewer.ViewerSection` has scripts: two, allowed by their hashes.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    if not sections:
        raise ReportError("A report needs at least one section: found none.")
    environment = Environment(
        loader=PackageLoader("medgan.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("report.html.j2")
    scripts = [niivue_script(), viewer_script()] if any(s.kind == ViewerSection.kind for s in sections) else []
    return template.render(
        title=title,
        subtitle=subtitle,
        sections=[_for_template(s) for s in sections],
        scripts=scripts,
        policy=_policy(scripts),
    )


def _policy(scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy: nothing from elsewhere, and scripts by their hashes."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    if not scripts:
        return policy
    allowed = " ".join(script_hash(script) for script in scripts)
    return f"{policy}; script-src {allowed}"


def _for_template(section: Section) -> dict[str, object]:
    """Return the fields of a section, with a PNG as base64 text."""
    values = {f.name: getattr(section, f.name) for f in fields(section)}
    if isinstance(section, ViewerSection):
        values["volumes"] = [volume.for_page() for volume in section.volumes]
    if "png" in values:
        values["png"] = base64.b64encode(values["png"]).decode("ascii")
    return {"kind": section.kind, **values}
