"""In which precision the fused loops add up."""

from __future__ import annotations

import torch

#: dtypes of features that the loops take -> what they sum in
WORKING = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
}
