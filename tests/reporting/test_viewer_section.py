from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from importlib.resources import files

import numpy as np
import pytest
from browser import opened_page, shades_in

from medgan.errors import ReportError
from medgan.formats import write_volume
from medgan.geometry import Grid
from medgan.reporting.report import render_report
from medgan.reporting.sections import TextSection
from medgan.reporting.viewer import SIGNED, ViewerSection, ViewerVolume, niivue_script, script_hash, viewer_script
from medgan.volume import Quantity, Volume

VENDORED = files("medgan.reporting") / "vendor" / "niivue"


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> ViewerSection:
    folder = tmp_path_factory.mktemp("viewer")
    grid = Grid.axis_aligned((24, 30, 18), spacing=(2, 2, 3), origin=(-24, -30, -27))
    ramp = np.indices(grid.shape).sum(axis=0).astype(np.float32) * 10 - 300
    ct = Volume(ramp, grid, Quantity.HOUNSFIELD)
    error = Volume(ramp - ramp.mean(), grid, Quantity.DIFFERENCE)
    stored = [write_volume(v, folder / f"{n}.nii.gz").read_bytes() for n, v in enumerate((ct, error))]
    return ViewerSection(
        "Leaf <through>",
        [
            ViewerVolume("Truth </script>", stored[0], (-300, 500), "HU"),
            ViewerVolume("Error", stored[1], (-300, 300), "HU", SIGNED),
        ],
        "A ramp.",
    )


def test_a_page_allows_its_two_scripts_and_nothing_else(section):
    page = render_report("Report", [section])
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert scripts == [niivue_script(), viewer_script()]
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    policy = policy.replace("&#39;", "'")
    allowed = " ".join(script_hash(script) for script in scripts)
    assert policy == f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"


def test_a_page_without_a_viewer_has_no_script():
    page = render_report("Report", [TextSection("Text", ["x"])])
    assert "<script" not in page
    assert "script-src" not in page


def test_images_are_embedded_whole_and_their_names_escaped(section):
    page = render_report("Report", [section])
    (data,) = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    images = json.loads(data)
    assert [image["name"] for image in images] == ["Truth </script>", "Error"]
    for image, volume in zip(images, section.volumes):
        assert base64.b64decode(image["base64"]) == volume.nifti
        assert gzip.decompress(volume.nifti)[344:347] == b"n+1"
    assert (images[1]["low"], images[1]["high"], images[1]["colormap"]) == (-300, 300, "signed")
    assert "Truth &lt;/script&gt;" in page


def test_what_cannot_be_shown_is_refused():
    with pytest.raises(ReportError, match="must be a gzipped NIfTI"):
        ViewerVolume("MR", b"\x00" * 400, (0, 1))
    with pytest.raises(ReportError, match="must rise"):
        ViewerVolume("MR", b"\x1f\x8b", (1, 1))
    with pytest.raises(ReportError, match="gray, signed, hot: found 'jet'"):
        ViewerVolume("MR", b"\x1f\x8b", (0, 1), colormap="jet")
    with pytest.raises(ReportError, match="at least one image"):
        ViewerSection("Empty", [])


def test_niivue_is_the_file_that_its_origin_names_and_its_license_stands_beside_it():
    digest = hashlib.sha256((VENDORED / "niivue.umd.js").read_bytes()).hexdigest()
    assert digest in (VENDORED / "ORIGIN.md").read_text()
    assert "BSD 2-Clause License" in (VENDORED / "LICENSE").read_text()


def test_nothing_in_niivue_ends_a_script_early():
    script = niivue_script()
    assert "</script" not in script.lower()
    assert "<!--" not in script


def test_a_browser_opens_the_viewer_and_asks_for_nothing(section, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(render_report("Report", [section]), encoding="utf-8")
    with opened_page(file) as opened:
        page = opened.page
        page.wait_for_selector("section.viewer[data-state]")
        assert page.get_attribute("section.viewer", "data-state") == "ready"
        canvas = page.locator("section.viewer canvas")
        assert shades_in(canvas.screenshot()) > 20
        assert re.fullmatch(
            r"Truth </script> -?\d+ HU · Error -?[\d.]+ HU at \(-?\d+, -?\d+, -?\d+\) mm, RAS",
            page.inner_text(".viewer-location"),
        )
        page.get_by_role("button", name="Error").click()
        pressed = page.locator('button[aria-pressed="true"]').all_inner_texts()
        assert pressed == ["Error"]
        assert [url for url in opened.requests if not url.startswith("data:")] == [file.resolve().as_uri()]
        assert opened.console == []


@pytest.mark.slow
def test_a_viewer_that_cannot_start_says_so(section, tmp_path):
    damaged = ViewerSection("Broken", [ViewerVolume("MR", gzip.compress(b"no nifti"), (0, 1))])
    file = tmp_path / "page.html"
    file.write_text(render_report("Report", [damaged]), encoding="utf-8")
    with opened_page(file) as opened:
        opened.page.wait_for_selector("section.viewer[data-state]")
        assert opened.page.get_attribute("section.viewer", "data-state") == "failed"
        assert "did not start" in opened.page.inner_text(".viewer-location")
        assert opened.console
