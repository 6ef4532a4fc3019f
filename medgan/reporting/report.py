"""One HTML page that holds everything it shows."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import fields

from medgan.errors import ReportError
from medgan.reporting.sections import Section


def render_report(title: str, sections: Sequence[Section], *, subtitle: str = "") -> str:
    """Return a self-contained HTML page: no script, no font, no image from elsewhere, and a policy that forbids them.

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
    All text is escaped; figures are embedded as base64. The page follows the reader's light or dark setting.
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
    return template.render(title=title, subtitle=subtitle, sections=[_for_template(s) for s in sections])


def _for_template(section: Section) -> dict[str, object]:
    """Return the fields of a section, with a PNG as base64 text."""
    values = {f.name: getattr(section, f.name) for f in fields(section)}
    if "png" in values:
        values["png"] = base64.b64encode(values["png"]).decode("ascii")
    return {"kind": section.kind, **values}
