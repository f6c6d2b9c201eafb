"""Read a page as headless Chromium shows it, once its scripts have run."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

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


CLICK_AND_READ = """
[...document.querySelectorAll("button, a, [role=tab], li")]
  .filter(element => element.innerText.trim() === LABEL)
  .forEach(element => element.click());
document.body.innerText
"""


def read_page(url: str, click: str, awaited: str, folder: Path, seconds: float = 90) -> str:
    """Return the text of a page as soon as it shows the awaited words, or what it shows in the end.

    Args:
        click: the label of a tab to open.
        folder: an empty one, for the browser's profile.
    """
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("the rest needs Chromium: apt install chromium")
    browser = subprocess.Popen(
        [chromium, *OPTIONS, f"--user-data-dir={folder}", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline, text = time.monotonic() + seconds, ""
    try:
        port = _read_port(folder, deadline)
        with connect(f"ws://127.0.0.1:{port}{_find_page(port, deadline)}") as page:
            while awaited not in text and time.monotonic() < deadline:
                time.sleep(0.5)
                question = {"expression": CLICK_AND_READ.replace("LABEL", json.dumps(click))}
                page.send(json.dumps({"id": 1, "method": "Runtime.evaluate", "params": question}))
                text = str(json.loads(page.recv())["result"]["result"].get("value", ""))
    finally:
        browser.terminate()
        browser.wait()
    return text


def _read_port(folder: Path, deadline: float) -> str:
    file = folder / "DevToolsActivePort"
    while not file.exists():
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
