"""A real headless browser for tests of pages."""

import shutil

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def chromium():
    """The browser's path; the test is skipped where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    return found


class Opened:
    """A page in the browser, and what went wrong or out while it was opened.

    Attributes
    ----------
    page : playwright page
    complaints : list of str
        Errors of the console and of scripts.
    requests : list of str
        Whatever was asked for beside the page itself and what it holds.
    """

    def __init__(self, page):
        self.page, self.complaints, self.requests = page, [], []
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", self._asked)

    def _said(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request):
        if not request.url.startswith(("file:", "data:")):
            self.requests.append(request.url)

    def overflow(self):
        """Pixels by which the page is wider than the window."""
        return self.page.evaluate(
            "document.documentElement.scrollWidth - window.innerWidth"
        )


@pytest.fixture(scope="module")
def browser():
    """A Chromium that is started once for a file of tests."""
    api = pytest.importorskip("playwright.sync_api")
    path = chromium()
    with api.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """``open_page(path, width=..., dark=...)`` opens a file as `Opened`."""
    contexts = []

    def opened(path, width=1280, dark=False):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
        )
        contexts.append(context)
        seen = Opened(context.new_page())
        seen.page.goto(path.resolve().as_uri(), wait_until="load")
        return seen

    yield opened
    for context in contexts:
        context.close()
