"""Takes docs/report.png, the picture of the shipped suite's report: `tox run -e screenshot`.

Needs Chromium, and nothing of torch.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.records.store import Store
from bench.report import page
from bench.suite import load_suite
from bench.tables.results import Results

ROOT = Path(__file__).resolve().parents[1]
SUITE = "quick"
SHOWN = {"width": 1280, "height": 1990}
"""The findings, all differences two by two, and the first table."""
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def main() -> None:
    """Write docs/report.png."""
    browser = os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit("no Chromium was found: install it, or name one in CHROME")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        results = Path(folder)
        for what in ("runs", "latency", "derivatives"):
            shutil.copytree(ROOT / "results" / what / SUITE, results / what / SUITE)
        suite, store = load_suite(SUITE), Store(results, SUITE)
        report = page.write(suite, store, Results.read(store, suite))
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        view = opened.new_page(viewport=SHOWN)
        view.goto(report.as_uri())
        view.wait_for_selector("html[data-drawn=yes]")
        view.screenshot(path=ROOT / "docs" / "report.png")
        opened.close()


if __name__ == "__main__":
    main()
