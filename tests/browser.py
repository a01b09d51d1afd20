"""Headless Chromium for tests of pages, driven by the DevTools protocol through two pipes (JSON ended by NUL)."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
)


def find_browser() -> str | None:
    """Path of the browser: $CHROMIUM, or one of NAMES."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """A browser with one tab."""

    def __init__(self, path: str, profile: Path, width: int = 1280, height: int = 900) -> None:
        commands, self.write = os.pipe()
        self.read, answers = os.pipe()
        inputs, outputs = (fcntl.fcntl(end, fcntl.F_DUPFD, 20) for end in (commands, answers))

        def connect() -> None:  # the browser reads commands from descriptor 3 and answers on 4
            os.dup2(inputs, 3)
            os.dup2(outputs, 4)

        words = [path, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}", "about:blank"]
        self.process = subprocess.Popen(
            words,
            preexec_fn=connect,
            pass_fds=(3, 4),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (commands, answers, inputs, outputs):
            os.close(end)
        self.buffer, self.number, self.events = b"", 0, list[dict[str, Any]]()
        self.session, self.home = "", "about:"
        target = next(t for t in self.send("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self.session = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def close(self) -> None:
        os.close(self.write)
        os.close(self.read)
        self.process.terminate()
        self.process.wait(20)

    def message(self, seconds: float = 30) -> dict[str, Any]:
        """The next message. TimeoutError if there is none in time, ConnectionError if the browser has ended."""
        until = time.monotonic() + seconds
        while b"\0" not in self.buffer:
            if not select.select([self.read], [], [], max(0, until - time.monotonic()))[0]:
                raise TimeoutError("the browser does not answer")
            if not (more := os.read(self.read, 1 << 20)):
                raise ConnectionError("the browser has ended")
            self.buffer += more
        text, _, self.buffer = self.buffer.partition(b"\0")
        return dict(json.loads(text))

    def send(self, method: str, **parameters: Any) -> Any:
        """The result of a command; events that arrive before it are kept."""
        self.number += 1
        whole = {"id": self.number, "method": method, "params": parameters} | (
            {"sessionId": self.session} if self.session else {}
        )
        os.write(self.write, json.dumps(whole).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self.number:
                assert "error" not in message, message
                return message["result"]
            self.events.append(message)

    def js(self, expression: str) -> Any:
        """The value of an expression, awaited. AssertionError if it throws."""
        result = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def open(self, page: Path | str) -> float:
        """Load a file or an address, wait until its scripts are done, and return the seconds that this took."""
        self.home = "file:" if isinstance(page, Path) else page.partition("#")[0]
        self.events.clear()
        start = time.monotonic()
        self.send("Page.navigate", url=page.as_uri() if isinstance(page, Path) else page)
        self.until(f"location.href.startsWith({self.home!r}) && document.documentElement?.dataset.ready === 'yes'")
        return time.monotonic() - start

    def until(self, condition: str, seconds: float = 30) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.js(condition):
            assert time.monotonic() < end, f"still false: {condition}; {self.problems()}"
            time.sleep(0.02)

    def problems(self) -> list[Any]:
        """Console messages, exceptions, and requests to other places, since the page was opened."""
        details: dict[str, Callable[[dict[str, Any]], Any]] = {
            "Runtime.exceptionThrown": lambda p: p["exceptionDetails"],
            "Runtime.consoleAPICalled": lambda p: p["args"],
            "Log.entryAdded": lambda p: p["entry"],
            "Network.requestWillBeSent": lambda p: (
                None if p["request"]["url"].startswith((self.home, "data:")) else p["request"]["url"]
            ),
        }
        events = [event for event in self.events if event.get("method") in details]
        return [problem for event in events if (problem := details[event["method"]](event["params"]))]

    def key(self, name: str, ctrl: bool = False) -> None:
        """Press and release a key."""
        more = {"text": "\r"} if name == "Enter" else {"windowsVirtualKeyCode": 9} if name == "Tab" else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=name, code=name, modifiers=2 * ctrl, **more)

    def insert(self, text: str) -> None:
        """Insert a text where the focus is, as by typing or pasting it."""
        self.send("Input.insertText", text=text)

    def size(self, width: int, height: int, mobile: bool = False, scale: float = 1) -> None:
        """Set the size of the window in px, and of how many pixels one is."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, mobile=mobile, deviceScaleFactor=scale
        )

    def mouse(self, selector: str, kind: str = "move") -> None:
        """Scroll an element into view, move to its middle, and click if `kind` is "click"."""
        self.js(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', behavior: 'instant'}})")
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y = self.js(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for pressed in ("mousePressed", "mouseReleased") if kind == "click" else ():
            self.send("Input.dispatchMouseEvent", type=pressed, button="left", clickCount=1, x=x, y=y)

    def tap(self, selector: str) -> None:
        """Tap on the middle of an element with a finger."""
        box = f"document.querySelector({selector!r}).getBoundingClientRect()"
        x, y = self.js(f"(b => [b.x + b.width / 2, b.y + b.height / 2])({box})")
        self.send("Emulation.setTouchEmulationEnabled", enabled=True)
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
        self.send("Emulation.setTouchEmulationEnabled", enabled=False)

    def scheme(self, name: str) -> None:
        """Set the preferred colour scheme, light or dark."""
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])
