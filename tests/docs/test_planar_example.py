"""examples/rotated_digits.py: augmentation, equal parameters, a run of two steps from end to end."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from gaugenet.data import turn_image

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("rotated_digits_example", ROOT / "examples" / "rotated_digits.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_augmentation_turns_as_the_data_do(example):
    c = np.arange(24) - 11.5
    image = np.exp(-((c[None] - 3) ** 2 + 2 * (c[:, None] + 2) ** 2) / 12)
    angles = np.array([0.7, np.pi / 2])
    got = example.turned(torch.from_numpy(image).expand(2, 1, 24, 24), torch.from_numpy(angles))
    for one, angle in zip(got, angles):
        assert np.allclose(one[0], turn_image(image, angle), atol=0.02)


def test_networks_have_about_as_many_parameters(example):
    for name in example.MODELS.keys() - {example.NEAREST}:
        count = sum(p.numel() for p in example.build(name, 30_000).parameters())
        assert 25_000 < count < 35_000, name
        if name != "C_8, quotients":  # 22 numbers to a field: too coarse for so few parameters
            count = sum(p.numel() for p in example.build(name, 10_000).parameters())
            assert 8_000 < count < 12_500, name


def test_nearest_image_is_found_however_it_is_turned(example):
    """Forty images are found again when turned by 20 degrees; upside down, and not turned back, most are not."""
    pytest.importorskip("sklearn", reason="the digits of the example are those of scikit-learn: pip install 'gaugenet[dev]'")
    _, options, (x, y), _ = example.load_arrays(None)
    images = example.RotatedDigits(x[:40], y[:40], angles=np.zeros(40), **options).images
    test = example.turned(images, torch.full((40,), 4 * torch.pi / 36))
    number = torch.arange(40)
    assert (example.nearest(images, number, test) == number).all()
    upside_down = example.turned(images, torch.full((40,), torch.pi))
    assert (example.nearest(images, number, upside_down, turns=1) == number).float().mean() < 0.5


def test_from_end_to_end(example, tmp_path, monkeypatch):
    pytest.importorskip("sklearn", reason="the digits of the example are those of scikit-learn: pip install 'gaugenet[dev]'")
    out = tmp_path / "results.json"
    arguments = ["--models", "CNN, augmented", "p4", example.NEAREST, "--sizes", "20", "--seeds", "1", "--steps", "2"]
    monkeypatch.setattr(
        sys, "argv", ["x", *arguments, "--batch-size", "8", "--test", "30", "--parameters", "2000", "--out", str(out)]
    )
    example.main()
    runs = json.loads(out.read_text())["runs"]
    assert [r["model"] for r in runs] == ["CNN, augmented", "p4", "nearest image"]
    assert runs[1]["change under 90 degrees"] <= 1e-5 < runs[0]["change under 90 degrees"]
    assert runs[0]["change under angles"][0] == 0 and len(runs[0]["change under angles"]) == len(example.ANGLES)
    assert out.with_suffix(".md").read_text().count("| p4 |") == 1
    example.main()  # nothing is repeated
    assert json.loads(out.read_text())["runs"] == runs
