"""A real browser for tests of pages: the system's Chromium; without one they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pocketeye.errors import MissingFile
from pocketeye.runtimes.browser.assets import ort_folder
from pocketeye.tracking import load_tracker
from pocketeye.tracking.video.tracker import Tracker

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")  # closed with its module: its loop would disturb other tests
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("there is no Chromium: apt install chromium")
    try:
        ort_folder()
    except MissingFile:
        pytest.skip("there is no ONNX Runtime Web: make web")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=[*QUIET])
        yield browser
        browser.close()


@contextmanager
def quiet_page(chromium: Any, **options: Any) -> Iterator[Any]:
    """Open a page on which nothing may go wrong: no error in the console, no exception."""
    context = chromium.new_context(**options)
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: wrong.append(m.text) if m.type == "error" else None)
    try:
        yield page
        assert wrong == []
    finally:
        context.close()


@pytest.fixture(scope="session")
def nano() -> Tracker[Any]:
    """The tracker that comes along, by its graphs."""
    return load_tracker("pocketeye_tam_nano", engine="onnxruntime")
