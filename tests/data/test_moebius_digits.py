"""Pictures on the Moebius strip: the shifts are a group of isometries, the digits are fixed by their seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups
from gaugenet.data import MoebiusDigits, moebius_shift

TYPE = FieldType(groups.Reflection(), "2x0 + 1x0- + 1xregular")


def fields(*shape):
    return torch.randn(2, TYPE.dim, *shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_shifts_by_hand():
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert moebius_shift(x, 1)[0, 0].tolist() == [[5, 0, 1], [2, 3, 4]]
    assert moebius_shift(x, -1)[0, 0].tolist() == [[1, 2, 3], [4, 5, 0]]
    assert moebius_shift(x, 3)[0, 0].tolist() == [[3, 4, 5], [0, 1, 2]]
    signs = torch.cat([x, x, x, x, x], 1)
    turned = moebius_shift(signs, 3, TYPE)[0]
    assert turned[0].tolist() == [[3, 4, 5], [0, 1, 2]] and turned[2].tolist() == [[-3, -4, -5], [0, -1, -2]]
    pair = torch.cat([x, x, x, x, 10 * x], 1)
    assert moebius_shift(pair, 3, TYPE)[0, 3].tolist() == [[30, 40, 50], [0, 10, 20]]


def test_shifts_are_a_group():
    x = fields(4, 5)
    assert torch.equal(moebius_shift(moebius_shift(x, 3, TYPE), 9, TYPE), moebius_shift(x, 12, TYPE))
    assert torch.equal(moebius_shift(x, 10, TYPE), x) and not torch.equal(moebius_shift(x, 5, TYPE), x)
    each = moebius_shift(x, torch.tensor([2, 7]), TYPE)
    assert torch.equal(each[1:], moebius_shift(x[1:], 7, TYPE)) and torch.equal(each[:1], moebius_shift(x[:1], 2, TYPE))


@pytest.fixture
def digits():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (20, 6, 4), dtype=np.uint8), random.integers(0, 10, 20)


def test_centred_digits(digits):
    data = MoebiusDigits(*digits, shifted=False)
    assert len(data) == 20 and data.images.shape == (20, 1, 6, 4) and data.images.dtype == torch.float32
    assert np.array_equal((data.images[:, 0].numpy() * 255).round(), digits[0]) and data.labels.tolist() == digits[1].tolist()
    assert not data.shifts.any()
    longer = MoebiusDigits(*digits, shifted=False, length=9).images
    assert torch.equal(longer[..., 2:6], data.images) and not longer[..., :2].any() and not longer[..., 6:].any()
    floats = MoebiusDigits(digits[0] / 255.0, digits[1], shifted=False)
    assert torch.allclose(floats.images, data.images)


def test_shifted_digits(digits):
    data, centred = MoebiusDigits(*digits, seed=3), MoebiusDigits(*digits, shifted=False)
    assert torch.equal(data.images, moebius_shift(centred.images, data.shifts))
    assert data.shifts.min() >= 0 and 4 <= data.shifts.max() < 8
    assert torch.equal(data.images, MoebiusDigits(*digits, seed=3).images)
    assert not torch.equal(data.images, MoebiusDigits(*digits, seed=4).images)
    image, label = data[5]
    assert torch.equal(image, data.images[5]) and label == digits[1][5]
    images, labels = next(iter(torch.utils.data.DataLoader(data, 7)))
    assert images.shape == (7, 1, 6, 4) and labels.shape == (7,)


@pytest.mark.parametrize(
    ("match", "call"),
    [
        ("images", lambda: MoebiusDigits(np.zeros((3, 4)), np.zeros(3, int))),
        ("images", lambda: MoebiusDigits(np.zeros((3, 4, 4)), np.zeros(2, int))),
        ("integer", lambda: MoebiusDigits(np.zeros((3, 4, 4)), np.zeros(3))),
        ("shorter", lambda: MoebiusDigits(np.zeros((3, 4, 4)), np.zeros(3, int), length=3)),
        ("moebius_shift", lambda: moebius_shift(torch.zeros(3, 4), 1)),
        ("moebius_shift", lambda: moebius_shift(torch.zeros(1, 4, 2, 2), 1, TYPE)),
        ("integer", lambda: moebius_shift(torch.zeros(1, 4, 2, 2), 0.5)),
        ("integer", lambda: moebius_shift(torch.zeros(1, 4, 2, 2), torch.tensor([1, 2]))),
    ],
)
def test_refused(match, call):
    with pytest.raises(ValueError, match=match):
        call()
