"""Fixtures shared by every test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of oracles and real data: $GAUGENET_SHARED, by default ../shared beside the checkout."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("GAUGENET_SHARED", root.parent / "shared"))
    if not (folder / "oracles").is_dir():
        pytest.skip(f"no shared oracles at GAUGENET_SHARED={folder}")
    return folder


@pytest.fixture(params=[torch.float64, torch.float32], ids=["float64", "float32"])
def dtype(request) -> torch.dtype:
    """Both precisions; a file whose every test runs in both marks itself with ``pytest.mark.usefixtures("dtype")``."""
    return request.param
