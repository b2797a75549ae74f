"""The arrays of LieConv's reference code, group by group."""

from __future__ import annotations

import numpy as np

#: the groups of the published code
FINZI = ["T2", "T3", "SO2", "RxSO2", "SE2", "SO3", "SE3"]


def oracle(shared, name: str) -> dict[str, np.ndarray]:
    arrays = np.load(shared / "oracles" / "seeds" / "lieconv" / "lieconv.npz")
    return {key[len(name) + 1 :]: arrays[key] for key in arrays.files if key.startswith(f"{name}_")}
