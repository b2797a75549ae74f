"""Pictures on the Moebius strip, and the shifts that are its isometries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from .array_files import labelled_images


def moebius_shift(x: Tensor, pixels: int | Tensor, type: FieldType | None = None) -> Tensor:
    r"""Moves a field along the flat Moebius strip, an isometry: after ``length`` pixels it returns reflected.

    .. math:: out(i, j) = \rho(s^n)\, x(s^n i,\; j - pixels - n L), \qquad n = \lfloor (j - pixels) / L \rfloor

    with L columns and s = diag(1, -1), which turns the rows over. The shift by 2 L is the identity.

    Args:
        x: (B, C, H, L), frames of the pixel grid.
        pixels: how far to the right; one number, or one for each of the B fields.
        type: field type of x, over a group that contains diag(1, -1); None for scalars.

    Raises:
        ValueError: another shape.
    """
    if x.dim() != 4 or (type is not None and x.shape[1] != type.dim):
        raise ValueError(f"moebius_shift expected (B, {'C' if type is None else type.dim}, H, L), got {tuple(x.shape)}")
    pixels = torch.as_tensor(pixels, device=x.device)
    if pixels.is_floating_point() or pixels.shape not in ((), (x.shape[0],)):
        raise ValueError(f"moebius_shift expected an integer or {x.shape[0]} of them, got {pixels.dtype} {tuple(pixels.shape)}")
    length, beyond = x.shape[3], x.flip(2)
    if type is not None:
        flip = torch.diag(torch.tensor([1.0, -1.0], dtype=x.dtype, device=x.device))
        beyond = type.transform(flip, beyond.movedim(1, -1)).movedim(-1, 1)
    cover = torch.cat([x, beyond], 3)  # the annulus that covers the strip twice: there the isometries are plain shifts
    column = (torch.arange(length, device=x.device) - pixels.reshape(-1, 1)) % (2 * length)
    return cover.gather(3, column[:, None, None, :].expand(*x.shape))


class MoebiusDigits(torch.utils.data.Dataset):
    """Digits on a Moebius strip (Weiler et al. 2021, arXiv 2106.06020, section 5.5): scalar fields (1, H, length).

    Args:
        images: (N, H, W), uint8 (scaled by 1 / 255) or floating.
        labels: (N,) integers.
        shifted: move every digit along the strip by a random number of pixels in 0 .. 2 length - 1 (all isometries that keep
            the pixels; those across the seam show it turned over); False leaves all of them centred.
        length: columns of the strip, by default W; more of them are filled with zeros on both sides.
        seed: of the shifts.

    Attributes:
        images: (N, 1, H, length) float32. labels: (N,) int64. shifts: (N,) int64.

    Raises:
        ValueError: arrays of other shapes, or a strip shorter than the pictures.
    """

    def __init__(
        self, images: np.ndarray, labels: np.ndarray, shifted: bool = True, *, length: int | None = None, seed: int = 0
    ) -> None:
        images, labels = labelled_images(images, labels)
        count, _, width = images.shape
        length = width if length is None else length
        if length < width:
            raise ValueError(f"a strip of length {length} is shorter than the pictures, which are {width} wide")
        scale = 255.0 if images.dtype == np.uint8 else 1.0
        left = (length - width) // 2
        plain = np.pad(images, ((0, 0), (0, 0), (left, length - width - left)))[:, None] / np.float32(scale)
        self.images = torch.from_numpy(plain.astype(np.float32))
        self.labels = torch.from_numpy(labels.astype(np.int64))
        generator = torch.Generator().manual_seed(seed)
        self.shifts = torch.zeros(count, dtype=torch.int64, device="cpu")
        if shifted:
            self.shifts = torch.randint(2 * length, (count,), generator=generator, device="cpu")
            self.images = moebius_shift(self.images, self.shifts)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]
