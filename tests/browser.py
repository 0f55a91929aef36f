"""A real headless browser for the tests, or a clear word why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@contextmanager
def browser(width: int = 1400, height: int = 1000) -> Iterator[BrowserContext]:
    """Yield a fresh browser profile; skips the test where no browser or no driver is found."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    api = pytest.importorskip("playwright.sync_api", reason="no browser driver: playwright")
    with api.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=found, args=SWITCHES)
        try:
            yield launched.new_context(viewport={"width": width, "height": height})
        finally:
            launched.close()
