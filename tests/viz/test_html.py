"""Pages: they hold the data of the views, and fetch nothing. The commands of docs/pictures.md."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

from gaugenet import viz
from gaugenet.viz.html import page
from gaugenet.viz.views import log_map_view


class Reader(HTMLParser):
    """Scripts by id, and every address that a page would fetch."""

    def __init__(self, text: str):
        super().__init__()
        self.scripts, self.addresses, self.open, self.stack, self.title = {}, [], None, [], ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.addresses += [attributes[k] for k in ("src", "href") if k in attributes]
        if tag not in ("meta", "link"):
            self.stack.append(tag)
        self.open = attributes.get("id", "program") if tag == "script" else None

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag
        self.open = None

    def handle_data(self, data):
        if self.open:
            self.scripts[self.open] = self.scripts.get(self.open, "") + data
        if self.stack[-1:] == ["title"]:
            self.title += data


def unpacked(text: str) -> dict:
    """The data of a page with its arrays decoded."""
    reader = Reader(text)
    assert not reader.stack and not reader.addresses and not re.search(r"https?://", text)
    data = json.loads(reader.scripts["data"])
    data["arrays"] = [np.frombuffer(base64.b64decode(a["data"]), a["type"]) for a in data["arrays"]]
    return data


def test_page_holds_the_data(ball):
    views = viz.select_views(ball, vertex=5)
    data = unpacked(page(views, "ball"))
    assert [v["title"] for v in data["views"]] == [v.title for v in views]
    for stored, view in zip(data["views"], views):
        np.testing.assert_array_equal(stored["rotation"], view.camera.rotation)
        for parts, layer in zip(stored["layers"], view.layers):
            arrays = {k: data["arrays"][parts[k]] for k in ("positions", "normals", "colors", "triangles")}
            triangles = arrays["triangles"].reshape(-1, 3)
            assert triangles.shape == layer.triangles.shape
            assert triangles.max() < len(arrays["positions"]) // 3
            np.testing.assert_allclose(
                arrays["positions"].reshape(-1, 3)[triangles], layer.positions[layer.triangles], rtol=1e-6, atol=1e-6
            )
            np.testing.assert_allclose(
                arrays["colors"].reshape(-1, 3)[triangles] / 255.0, layer.colors[layer.triangles], atol=0.003
            )
            np.testing.assert_allclose(
                arrays["normals"].reshape(-1, 3)[triangles] / 127.0, layer.normals[layer.triangles], atol=0.005
            )
    # What views share is there once.
    first, transport = data["views"][0]["layers"][0], data["views"][2]["layers"][0]
    assert first["positions"] == transport["positions"] and first["triangles"] == transport["triangles"]


def test_page_is_safe_and_small(ball, tmp_path):
    text = page(viz.select_views(ball, ["frames"]), "</script><b>&")
    assert "&lt;/script&gt;&lt;b&gt;&amp;" in text and unpacked(text)["views"]
    assert Reader(text).title == "</script><b>&"
    viz.save_html(ball, tmp_path / "a.html")
    viz.save_html(ball, tmp_path / "b.html", ["log"], vertex=7)
    assert (tmp_path / "a.html").read_bytes() != (tmp_path / "b.html").read_bytes()
    assert len(unpacked((tmp_path / "a.html").read_text())["views"]) == 6


def test_view_of_a_log_map_has_its_scale(ball):
    view = log_map_view(ball, 5, radius=0.7)
    (stored,) = unpacked(page([view], ""))["views"]
    assert stored["scale"]["low"] == 0.0 and 0.5 < stored["scale"]["high"] <= 0.7
    assert unpacked(page(viz.select_views(ball, ["frames"]), ""))["views"][0]["scale"] is None


def test_documented_commands_parse_and_pictures_exist():
    from gaugenet.cli import _parser

    docs = Path(__file__).resolve().parents[2] / "docs"
    text = (docs / "pictures.md").read_text(encoding="utf-8")
    commands = re.findall(r"^gaugenet (view [^#\n\[]*)$", text, re.MULTILINE)
    pictures = re.findall(r"\]\((images/.*?)\)", text)
    assert len(commands) >= 3 and all((docs / picture).stat().st_size < 200_000 for picture in pictures)
    for command in commands:
        options = _parser().parse_args(command.split())
        assert Path(options.output).name in {Path(picture).name for picture in pictures}
