"""A headless Chromium for tests of pages, driven over a pipe by the DevTools protocol.

No driver and no port: Chromium reads commands from file descriptor 3 and answers on 4, each message
JSON that ends with a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from select import select
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SECONDS_MAX = 60.0


def chromium() -> str:
    """Return the path of Chromium, from MARGIN_CHROMIUM or PATH; skip the test without one."""
    found = os.environ.get("MARGIN_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed; set MARGIN_CHROMIUM to run this")
    return found


class BrowserError(Exception):
    """The browser refused a command, or a script in the page failed."""


@dataclass
class Page:
    """One tab, with everything that it logged and asked the network for."""

    browser: "Browser"
    session: str
    errors: list[str] = field(default_factory=list)
    """Exceptions, and messages of level error or warning on the console."""
    requests: list[str] = field(default_factory=list)
    """Addresses that are neither a file nor inside the page."""

    def call(self, method: str, **values: Any) -> dict[str, Any]:
        return self.browser.call(method, self.session, **values)

    def run(self, script: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise BrowserError(json.dumps(found["exceptionDetails"])[:2000])
        return found["result"].get("value")

    def view(self, width: int, height: int, *, scheme: str = "light") -> None:
        """Set the size of the window in pixels and the colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height,
            deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media="", features=features)

    def open(self, path: Path) -> None:
        """Open a report and wait until its scripts have finished."""
        assert path.is_file(), path
        self.call("Page.navigate", url=path.resolve().as_uri())
        state = self.run(
            """new Promise(done => { const look = () => document.documentElement?.dataset.ready
            && document.readyState === "complete" && location.protocol === "file:"
            ? requestAnimationFrame(() => requestAnimationFrame(() =>
                done(document.documentElement.dataset.ready)))
            : setTimeout(look, 20); look(); })"""
        )
        assert state == "yes", (state, self.errors)

    def press(self, key: str, *, text: str = "") -> None:
        """Press and release a key, for example Tab, Enter or Escape."""
        codes = {"Enter": 13, "Tab": 9, "Escape": 27, " ": 32}
        own: dict[str, Any] = {"key": key, "windowsVirtualKeyCode": codes.get(key, 0)}
        typed = text or {"Enter": "\r", " ": " "}.get(key, "")
        kind = "keyDown" if typed else "rawKeyDown"
        self.call("Input.dispatchKeyEvent", type=kind, **({"text": typed} if typed else {}), **own)
        self.call("Input.dispatchKeyEvent", type="keyUp", **own)

    def write(self, text: str) -> None:
        """Type a text into the focused field."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of the first element that matches, with the mouse."""
        x, y = self.run(
            f"""(() => {{ const e = document.querySelector({json.dumps(selector)});
            e.scrollIntoView({{block:"center"}}); const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]; }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """Return the window, or the whole page, as PNG."""
        found = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def pdf(self) -> bytes:
        """Return the printed page as PDF, on the paper that its style sheet asks for."""
        found = self.call("Page.printToPDF", preferCSSPageSize=True, printBackground=True)
        return base64.b64decode(found["data"])


class Browser:
    """A running Chromium."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self.process = process
        self._write, self._read = write, read
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def page(self) -> Page:
        """Return a new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        return page

    def call(self, method: str, session: str = "", **values: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        while True:
            answer = self._next()
            if answer.get("id") == number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select([self._read], [], [], _SECONDS_MAX)
            if not ready:
                raise BrowserError(f"no answer within {_SECONDS_MAX:g} s")
            more = os.read(self._read, 1 << 20)
            if not more:
                raise BrowserError("the browser has ended")
            self._buffer += more
        first, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(first)

    def _note(self, event: dict[str, Any]) -> None:
        page = self._pages.get(event.get("sessionId", ""))
        if page is None:
            return
        method, values = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            page.errors.append(json.dumps(values["exceptionDetails"])[:1000])
        elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning"):
            page.errors.append(json.dumps(values["args"])[:1000])
        elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
            page.errors.append(values["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            url = values["request"]["url"]
            if not url.startswith(("file:", "data:", "blob:", "about:")):
                page.requests.append(url)


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Yield a headless Chromium with a profile of its own; skip the test without one."""
    program = chromium()
    commands, write = os.pipe()
    read, answers = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        arguments = [
            program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-extensions", "--disable-background-networking",
            "--hide-scrollbars", f"--user-data-dir={profile}", "--remote-debugging-pipe",
        ]  # fmt: skip

        def numbered() -> None:
            high = [os.dup(commands), os.dup(answers)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        process = subprocess.Popen(
            arguments, close_fds=False, preexec_fn=numbered, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        browser = Browser(process, write, read)
        try:
            yield browser
        finally:
            os.close(write)
            os.close(read)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
