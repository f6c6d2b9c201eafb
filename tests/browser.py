"""Open pages in headless Chromium and look at what they show, once their scripts have run."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1400,1200",
)
WAIT_S = 90.0

CLICK_AND_READ = """
[...document.querySelectorAll("button, a, [role=tab], li")]
  .filter(element => element.innerText.trim() === LABEL)
  .forEach(element => element.click());
document.body.innerText
"""


class Page:
    """A page under Chrome's DevTools protocol."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.count = 0
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; keep events that come between."""
        self.count += 1
        self.connection.send(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message: dict[str, Any] = json.loads(self.connection.recv(timeout=WAIT_S))
            if message.get("id") == self.count:
                assert "result" in message, message
                return dict(message["result"])
            self.events.append(message)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Load a page and wait until all that it needs is there."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.events.clear()
        self.call("Page.navigate", url=url)
        deadline = time.monotonic() + WAIT_S
        while self.evaluate("document.readyState") != "complete" or self.evaluate(
            "location.href"
        ) == ("about:blank"):
            assert time.monotonic() < deadline, f"{url} did not load"
            time.sleep(0.05)

    def list_errors(self) -> list[str]:
        """Return what the console shows as an error or a warning."""
        self.evaluate("0")
        return [
            json.dumps(event["params"])
            for event in self.events
            if event["method"] == "Runtime.exceptionThrown"
            or (event["method"] == "Log.entryAdded")
            or (
                event["method"] == "Runtime.consoleAPICalled"
                and event["params"]["type"] in ("error", "warning")
            )
        ]

    def list_requests(self) -> list[str]:
        """Return the addresses that the page asked for, data: addresses apart."""
        addresses = [
            str(event["params"]["request"]["url"])
            for event in self.events
            if event["method"] == "Network.requestWillBeSent"
        ]
        return [address for address in addresses if not address.startswith("data:")]


@contextmanager
def open_browser(folder: Path) -> Iterator[Page]:
    """Start Chromium with an empty page.

    Args:
        folder: an empty one, for the browser's profile.
    """
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("this needs Chromium: apt install chromium")
    browser = subprocess.Popen(
        [chromium, *OPTIONS, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + WAIT_S
    try:
        port = _read_port(folder, deadline)
        address = f"ws://127.0.0.1:{port}{_find_page(port, deadline)}"
        with connect(address, max_size=None) as connection:
            yield Page(connection)
    finally:
        browser.terminate()
        browser.wait()


def read_page(url: str, click: str, awaited: str, folder: Path, seconds: float = WAIT_S) -> str:
    """Return the text of a page as soon as it shows the awaited words, or what it shows in the end.

    Args:
        click: the label of a tab to open.
        folder: an empty one, for the browser's profile.
    """
    deadline, text = time.monotonic() + seconds, ""
    with open_browser(folder) as page:
        page.open(url)
        while awaited not in text and time.monotonic() < deadline:
            time.sleep(0.5)
            text = str(page.evaluate(CLICK_AND_READ.replace("LABEL", json.dumps(click))))
    return text


def _read_port(folder: Path, deadline: float) -> str:
    file = folder / "DevToolsActivePort"
    while not file.exists() or not file.read_text():
        assert time.monotonic() < deadline, "Chromium did not start"
        time.sleep(0.2)
    return file.read_text().split()[0]


def _find_page(port: str, deadline: float) -> str:
    while time.monotonic() < deadline:
        for target in httpx.get(f"http://127.0.0.1:{port}/json").json():
            if target["type"] == "page":
                return str(target["webSocketDebuggerUrl"]).partition(port)[2]
        time.sleep(0.2)
    raise AssertionError("Chromium opened no page")
