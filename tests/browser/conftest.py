"""Chromium, and reports to open in it. What runs here has no torch: only the reading half is installed."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
# The written records of the other tests.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "bench")]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="session")
def chromium():
    path = os.environ.get("CHROME") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.exit(
            "no Chromium was found: install it (Debian: apt install chromium), or name one in CHROME", 2
        )
    with sync_playwright() as playwright:
        # The sandbox needs rights that containers rarely give.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Opened:
    """A page, and all that went wrong in it."""

    def __init__(self, page):
        self.page, self.problems, self.requests, self.dialogs = page, [], [], []
        page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("dialog", lambda dialog: (self.dialogs.append(dialog.message), dialog.dismiss()))

    def drawn(self):
        self.page.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
        return self


@pytest.fixture
def open_page(chromium):
    """open_page(file, width=..., color_scheme=...) -> Opened; nothing may go wrong in it, or leave it."""
    contexts = []

    def call(file, width=1280, height=900, **options):
        contexts.append(chromium.new_context(viewport={"width": width, "height": height}, **options))
        opened = Opened(contexts[-1].new_page())
        contexts[-1].opened = opened
        opened.page.goto(f"file://{file}")
        return opened.drawn()

    yield call
    for context in contexts:
        opened = context.opened
        assert opened.problems == []
        assert opened.dialogs == []
        assert [url for url in opened.requests if not url.startswith(("file:", "data:", "blob:"))] == []
        context.close()


@pytest.fixture(scope="session")
def quick(tmp_path_factory):
    """The report of the shipped suite, made here by the command, without torch."""
    assert importlib.util.find_spec("torch") is None
    results = tmp_path_factory.mktemp("results")
    for what in ("runs", "latency", "derivatives"):
        shutil.copytree(ROOT / "results" / what / "quick", results / what / "quick")
    command = [sys.executable, "-m", "bench", "report", "quick", "--results", str(results)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return results / "reports" / "quick.html"


@pytest.fixture(scope="session")
def index(quick):
    """The page over all suites of the folder of `quick`, beside that on choosing a surrogate."""
    folder = quick.parents[1]
    (folder / "leaderboards").mkdir(exist_ok=True)
    shutil.copy(ROOT / "results" / "leaderboards" / "widths.csv", folder / "leaderboards")
    command = [sys.executable, "-m", "bench", "report", "--all", "--results", str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    return quick.parent / "index.html"
