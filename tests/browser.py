"""A real browser for tests of pages: Debian's Chromium, driven by Playwright; tests skip where one is absent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

# WebGL by a software renderer: test machines have no graphics card.
ARGUMENTS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"]


@dataclass
class OpenedPage:
    """A page in the browser, and everything it said and asked for while it was opened."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened_page(file: Path) -> Iterator[OpenedPage]:
    """Open a page from its file; skip without Playwright or Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is absent")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is absent")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        try:
            page = browser.new_page(viewport={"width": 640, "height": 520})
            page.set_default_timeout(90_000)
            opened = OpenedPage(page)
            page.on("console", lambda message: opened.console.append(f"{message.type}: {message.text}"))
            page.on("pageerror", lambda error: opened.console.append(f"error: {error}"))
            page.on("request", lambda request: opened.requests.append(request.url))
            page.goto(file.resolve().as_uri())
            yield opened
        finally:
            browser.close()


def shades_in(png: bytes) -> int:
    """Return the number of gray levels in a screenshot; a blank one has one or two."""
    import io

    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("L")
    return sum(count > 20 for count in image.histogram())
