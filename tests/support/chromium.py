"""A headless Chromium, told what to do through its DevTools, and pages in it.

Owns the processes and their profile directory, and proves at the end that all are gone. A page is asked by JavaScript;
what it is to become is waited for, never slept for. What a page complains of on its console, or throws, is an error.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import websockets.exceptions
import websockets.sync.client

from tests.support import processes
from tests.support.logtail import LogTail

START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
FLAGS = (
    "--headless", "--no-sandbox",  # root's Chromium has none
    "--disable-gpu", "--disable-dev-shm-usage",  # /dev/shm is small in containers
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-background-timer-throttling", "--disable-renderer-backgrounding",  # of two pages one is behind the other
    "--disable-crash-reporter", "--disable-breakpad", "--no-proxy-server", "--remote-debugging-port=0")
ADDRESS = r"DevTools listening on (ws://\S+)"


class Chromium:
    """A browser; `page(url)` opens a page in it."""

    def __init__(self) -> None:
        self.directory = tempfile.mkdtemp(prefix="chromium-")
        try:
            self._process = subprocess.Popen(
                ["chromium", *FLAGS, f"--user-data-dir={self.directory}/profile", "about:blank"],
                env=os.environ | {"HOME": self.directory, "TMPDIR": self.directory, "LD_PRELOAD": ""},
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        except BaseException:
            shutil.rmtree(self.directory)
            raise
        assert self._process.stderr is not None
        self.log = LogTail(self._process.stderr)
        self.events: list[dict[str, Any]] = []
        self._number = 0
        self._open = contextlib.ExitStack()
        self._connection: websockets.sync.client.ClientConnection | None = None
        try:
            address = self.log.wait_for(ADDRESS, START_TIMEOUT_S)[0][1]
            self._connection = self._open.enter_context(
                websockets.sync.client.connect(address, max_size=None, proxy=None))
        except BaseException:
            self.stop()
            raise

    def tell(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; its result."""
        assert self._connection is not None
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._connection.send(json.dumps(message))
        while True:
            answer = json.loads(self._connection.recv(ANSWER_TIMEOUT_S))
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def page(self, url: str) -> Page:
        """A new page, whose document is there."""
        target = self.tell("Target.createTarget", url="about:blank")["targetId"]
        page = Page(self, self.tell("Target.attachToTarget", targetId=target, flatten=True)["sessionId"])
        page.tell("Runtime.enable")
        page.tell("Page.enable")
        page.tell("Page.navigate", url=url)
        page.wait_for(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")
        return page

    def stop(self) -> None:
        """End it, and all of its processes."""
        pids = [self._process.pid, *(process.pid for process in processes.descendants_of(self._process.pid))]
        if self._connection is not None:
            with contextlib.suppress(websockets.exceptions.ConnectionClosed, TimeoutError):
                self.tell("Browser.close")
            self._open.close()
        else:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        finally:
            left = processes.wait_gone(pids, STOP_TIMEOUT_S)
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self._process.wait()
            processes.reap_adopted()
            shutil.rmtree(self.directory, ignore_errors=True)
        assert not left, f"processes of Chromium were left: {left}"
        assert self.log.join(STOP_TIMEOUT_S), "somebody still holds Chromium's stderr"


class Page:
    """One page."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self._browser, self._session = browser, session

    def tell(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command about this page."""
        return self._browser.tell(method, self._session, **parameters)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression; that of a promise is waited for."""
        answer = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, timeout_s: float = 20.0) -> None:
        """Wait until the expression is true."""
        processes.wait_until(lambda: bool(self.ask(expression)), expression, timeout_s)

    def type(self, text: str) -> None:
        """Type a line, as a person does: into what has the focus."""
        self.tell("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.tell("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r" * (kind == "keyDown"),
                      windowsVirtualKeyCode=13)

    def screenshot(self, path: Path) -> None:
        """As a PNG."""
        path.write_bytes(base64.b64decode(self.tell("Page.captureScreenshot")["data"]))

    def complaints(self) -> list[str]:
        """Exceptions, and what has been written to the console, of this page so far."""
        self.ask("0")  # what came before its answer has been read
        return [json.dumps(event["params"])[:500] for event in self._browser.events
                if event.get("sessionId") == self._session
                and re.fullmatch(r"Runtime\.(exceptionThrown|consoleAPICalled)", event["method"])]


@contextlib.contextmanager
def chromium() -> Iterator[Chromium]:
    """One for the time of the context."""
    browser = Chromium()
    try:
        yield browser
    finally:
        browser.stop()
