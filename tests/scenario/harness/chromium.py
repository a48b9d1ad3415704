"""A headless Chromium that is driven by its DevTools protocol, over a pair of pipes: no port, no package.

`Browser` is a context; `tab` opens one.  A tab notes what its console says, what fails to load and every request that it sends.
"""
import base64
import json
import os
import shutil
import signal
import subprocess
import threading

from harness.daemon import environment
from harness.wait import seconds, until

FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-pipe",
         "--hide-scrollbars", "--force-color-profile=srgb"]


class Failed(AssertionError):
    pass


class Browser:
    def __init__(self, place, *flags):
        path = shutil.which("chromium")
        assert path, "chromium is not installed: quickstart check installs what the real clients need"
        to_it, self._out = os.pipe()
        self._in, from_it = os.pipe()
        self._log = open(place / "chromium.log", "wb")
        self._process = subprocess.Popen(
            ["sh", "-c", f'exec "$0" "$@" 3</proc/self/fd/{to_it} 4>/proc/self/fd/{from_it}', path, *FLAGS, *flags, f"--user-data-dir={place}/chromium", "about:blank"],
            env=environment(place), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, pass_fds=(to_it, from_it),
            start_new_session=True)
        os.close(to_it)
        os.close(from_it)
        self._answers, self._tabs, self._last = {}, {}, 0
        self._changed = threading.Condition()
        self._over = False
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._out)
        self._log.close()

    def _read(self):
        rest = b""
        with open(self._in, "rb", buffering=0) as pipe:
            while True:
                piece = pipe.read(1 << 16)
                if not piece:
                    break
                *whole, rest = (rest + piece).split(b"\0")
                with self._changed:
                    for message in map(json.loads, whole):
                        self._take(message)
                    self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _take(self, message):
        if "id" in message:
            self._answers[message["id"]] = message
        elif message.get("sessionId") in self._tabs:
            self._tabs[message["sessionId"]].hear(message["method"], message["params"])

    def call(self, method, session=None, **parameters):
        with self._changed:
            self._last += 1
            mine = self._last
        message = {"id": mine, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        with self._changed:
            self._changed.wait_for(lambda: mine in self._answers or self._over, seconds(20))
            answer = self._answers.pop(mine, None)
        if answer is None or "error" in answer:
            raise Failed(f"{method}: {answer and answer['error']}")
        return answer["result"]

    def tab(self, url="about:blank", width=1280, height=900, dark=False):
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._tabs[session] = tab = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.look(width, height, dark)
        tab.call("Page.navigate", url=url)
        return tab


class Tab:
    def __init__(self, browser, session, target):
        self._browser, self._session, self.target = browser, session, target
        self.complaints, self.requests, self.fields = [], [], []

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def hear(self, method, p):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(p["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and p["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(p["args"]))
        elif method == "Log.entryAdded" and p["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(p["entry"]))
        elif method == "Network.requestWillBeSent":
            self.requests.append((p["request"]["method"], p["request"]["url"]))
        elif method == "Network.requestWillBeSentExtraInfo":
            self.fields.append({name.lower(): value for name, value in p["headers"].items()})

    def look(self, width, height=900, dark=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def run(self, script):
        """The value of an expression, which may be a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise Failed(f"{script}: {result['exceptionDetails'].get('exception', {}).get('description')}")
        return result["result"].get("value")

    def until(self, script, what=None, timeout=15):
        return until(lambda: self.run(f"Boolean({script})"), what or script, timeout)

    def text(self, selector="body"):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''")

    def press(self, key, text=None, shift=False):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        event = {"key": key, "code": {" ": "Space"}.get(key, key), "windowsVirtualKeyCode": codes.get(key, 0), "modifiers": 8 if shift else 0}
        text = text if text is not None else {"Enter": "\r", " ": " "}.get(key)
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def write(self, text):
        self.call("Input.insertText", text=text)

    def picture(self, path=None, whole=True):
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole,
                                          **({"clip": {"x": 0, "y": 0, "scale": 1, **self._size()}} if whole else {}))["data"])
        if path is not None:
            with open(path, "wb") as file:
                file.write(data)
        return data

    def _size(self):
        box = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"width": box["width"], "height": box["height"]}
