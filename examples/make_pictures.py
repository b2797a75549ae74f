"""Make the pictures of docs/pictures.md: the commands that stand there, and then smaller. Takes about a minute.

python examples/make_pictures.py --out docs/images
"""

from __future__ import annotations

import argparse
import re
import shlex
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from gaugenet.cli import main as gaugenet
from gaugenet.geometry import icosphere

ROOT = Path(__file__).resolve().parents[1]


def sphere(path: Path) -> None:
    """A subdivided icosahedron as an obj file; its first twelve vertices are the icosahedron's."""
    ball = icosphere(3)
    lines = [f"v {x} {y} {z}" for x, y, z in ball.positions] + [f"f {p} {q} {r}" for p, q, r in ball.faces + 1]
    path.write_text("\n".join(lines) + "\n")


def shrink(picture: Path, width: int) -> None:
    """Narrower, and with 32 levels of each colour, which PNG packs well."""
    image = Image.open(picture).convert("RGB")
    image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    levels = np.asarray(image, np.uint16)
    Image.fromarray((((levels + 4) // 8) * 8).clip(0, 255).astype(np.uint8)).save(picture, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs") / "pictures")
    parser.add_argument("--width", type=int, default=760, help="of the pictures, in pixels")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    text = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        sphere(Path(folder, "sphere.obj"))
        for command in re.findall(r"^gaugenet view .*\.png.*$", text, re.MULTILINE):
            words = shlex.split(command)[1:]
            at = words.index("-o") + 1
            picture = args.out / Path(words[at]).name
            words[at] = str(picture)
            words[1] = str(Path(folder, words[1]) if words[1] == "sphere.obj" else ROOT / words[1])
            if gaugenet(words):
                raise SystemExit(f"failed: {command}")
            shrink(picture, args.width)
            print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
