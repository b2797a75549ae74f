"""The page in headless Chromium: a click, a drag, the wheel, and pictures that are not blank. Skipped without a browser."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import shutil
import subprocess
import urllib.request

import numpy as np
import pytest

from gaugenet import viz

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


class Page:
    """A page under Chromium's DevTools protocol."""

    def __init__(self, socket) -> None:
        self.socket, self.count, self.errors = socket, 0, []

    async def call(self, method: str, **params):
        self.count += 1
        await self.socket.write_message(json.dumps({"id": self.count, "method": method, "params": params}))
        while True:
            message = json.loads(await asyncio.wait_for(self.socket.read_message(), 60))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(message["params"]["exceptionDetails"])
            if message.get("id") == self.count:
                assert "error" not in message, message
                return message["result"]

    async def evaluate(self, text: str):
        return (await self.call("Runtime.evaluate", expression=text, awaitPromise=True))["result"].get("value")

    async def mouse(self, kind: str, x: float, y: float, **more) -> None:
        await self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def box(self, selector: str) -> dict:
        text = f"JSON.stringify(document.querySelector({selector!r}).getBoundingClientRect())"
        return json.loads(await self.evaluate(text))

    async def click(self, selector: str) -> None:
        box = await self.box(selector)
        at = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            await self.mouse(kind, *at, button="left", clickCount=1)

    async def picture(self) -> np.ndarray:
        """(H, W, 3) of the page, after the next frame."""
        from PIL import Image

        await self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        data = (await self.call("Page.captureScreenshot"))["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), int)


@contextlib.asynccontextmanager
async def opened(file, folder):
    websocket = pytest.importorskip("tornado.websocket", reason="tornado comes with the extra: pip install 'gaugenet[dask]'")
    options = ["--headless=new", "--no-sandbox", "--remote-debugging-port=0", "--use-angle=swiftshader", "--hide-scrollbars"]
    options += ["--enable-unsafe-swiftshader", "--window-size=800,700", f"--user-data-dir={folder}", "--disable-dev-shm-usage"]
    browser = subprocess.Popen([CHROMIUM, *options, file.as_uri()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = None
        for _ in range(300):
            with contextlib.suppress(OSError, ValueError, IndexError):
                port = port or int((folder / "DevToolsActivePort").read_text().split()[0])
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
                    targets = [t for t in json.load(answer) if t["type"] == "page" and t["url"].startswith("file:")]
                socket = await websocket.websocket_connect(targets[0]["webSocketDebuggerUrl"], max_message_size=2**28)
                break
            await asyncio.sleep(0.2)
        else:
            raise AssertionError("the browser did not start")
        page = Page(socket)
        await page.call("Runtime.enable")
        await page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
        await page.call("Page.reload")
        for _ in range(100):
            if await page.evaluate("document.readyState === 'complete' && document.querySelectorAll('nav button').length > 1"):
                break
            await asyncio.sleep(0.1)
        yield page
    finally:
        browser.terminate()
        browser.wait(30)


def differs(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the pixels."""
    return float((np.abs(one - other).max(-1) > 16).mean())


def test_click_drag_wheel(ball, tmp_path):
    viz.save_html(ball, tmp_path / "ball.html", ["frames", "log", "curvature"], vertex=5)

    async def run():
        async with opened(tmp_path / "ball.html", tmp_path / "profile") as page:
            assert await page.evaluate("document.title") == "gaugenet" and not page.errors
            canvas = await page.box("canvas")
            assert canvas["width"] > 400 and canvas["height"] > 300
            # Nothing lies over the picture: the middle and the four corners of the canvas are its own.
            for x in (0.01, 0.5, 0.99):
                for y in (0.01, 0.5, 0.99):
                    at = canvas["x"] + x * canvas["width"], canvas["y"] + y * canvas["height"]
                    assert await page.evaluate(f"document.elementFromPoint({at[0]}, {at[1]}).id") == "canvas"
            first = await page.picture()
            top, left = int(canvas["y"]), int(canvas["x"])
            mesh = first[top : top + int(canvas["height"]), left : left + int(canvas["width"])]
            assert 0.1 < (mesh.min(-1) < 240).mean() < 0.95 and len(np.unique(mesh.reshape(-1, 3), axis=0)) > 50
            await page.click("nav button:nth-child(2)")  # the log map: another picture, with its scale
            second = await page.picture()
            assert differs(first, second) > 0.02
            assert (
                await page.evaluate("document.querySelector('nav button:nth-child(2)').getAttribute('aria-pressed')") == "true"
            )
            assert "geodesic distance" in await page.evaluate("document.getElementById('label').textContent")
            assert await page.box("canvas") == canvas  # it does not jump
            middle = canvas["x"] + canvas["width"] / 2, canvas["y"] + canvas["height"] / 2
            await page.mouse("mousePressed", *middle, button="left", clickCount=1)
            for step in range(1, 6):
                await page.mouse("mouseMoved", middle[0] + 20 * step, middle[1] + 10 * step, button="left", buttons=1)
            await page.mouse("mouseReleased", middle[0] + 100, middle[1] + 50, button="left", clickCount=1)
            third = await page.picture()
            assert differs(second, third) > 0.02
            await page.mouse("mouseWheel", *middle, deltaX=0, deltaY=400)
            fourth = await page.picture()
            covered = [(p[top : top + int(canvas["height"])].min(-1) < 240).sum() for p in (third, fourth)]
            assert covered[1] < 0.8 * covered[0]
            for count in (1, 2):
                for kind in ("mousePressed", "mouseReleased"):
                    await page.mouse(kind, *middle, button="left", clickCount=count)
            assert differs(await page.picture(), second) < 0.01  # a double click: as it was
            assert not page.errors

    asyncio.run(run())
