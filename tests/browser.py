"""Open pages in the system's Chromium, headless, and note what they ask for and complain of."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, sync_playwright

from tests.skips import skip_without

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass(frozen=True)
class Noise:
    """What a page did beyond showing itself."""

    requests: list[str] = field(default_factory=list)  # addresses; Playwright leaves data: ones out
    complaints: list[str] = field(default_factory=list)  # all that the console shows


@contextmanager
def start_browser() -> Iterator[Browser]:
    """Start Chromium; without it, the test is skipped.

    For a test or a module, not for a session: until it is closed, an event loop counts as running
    in this thread, and no other test could start its own there.
    """
    chromium = shutil.which("chromium")
    if not chromium:
        skip_without("Chromium", "apt install chromium")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(
            executable_path=chromium,
            args=OPTIONS,
            ignore_default_args=["--hide-scrollbars"],  # they take width, as they do for readers
        ) as browser,
    ):
        yield browser


def listen(page: Page) -> Noise:
    """Note, from now on, what the page asks for and what it complains of."""
    noise = Noise()
    page.on("request", lambda request: noise.requests.append(request.url))
    page.on("console", lambda message: noise.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: noise.complaints.append(str(error)))
    return noise
