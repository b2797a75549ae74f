"""Climate simulations with and without human influence, labelled by run (NCAR/DOE Parallel Climate Model)."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from ...errors import GaugenetError
from ..sphere_sampling import LatLonInterpolation
from .array_files import check_shapes, existing_file, read_npz

# By their warming between 1890-1919 and 1970-1999: 0.43-0.54 K with all forcings, 0.04-0.12 K with natural forcings alone.
_FORCED, _NATURAL = (57, 59, 60, 61), (66, 67, 68, 69)


class ClimateRuns:
    """Annual means of the temperature near the ground, 1890 to 1999, of simulations with all forcings or natural ones alone.

    A sample is one year of one run, a scalar field "1x0" on the globe; its label is 1 for a run with all forcings and 0 for a
    natural one. Years of one run resemble each other, so training and test sets must differ by run: :meth:`split` takes runs.

    Args:
        path: folder with trefht_annual_1890_1999.npz, or the file: run_<number> (years, H, W) in K, lat, lon, year.

    Attributes:
        temperature: (S, H, W) float32, K. run, year, label: (S,) int64. grid: its LatLonInterpolation (Gaussian latitudes).
        type: "1x0".

    Raises:
        FileNotFoundError: no such file.
        GaugenetError: a damaged file, another layout, or runs of unknown forcing.
    """

    type = "1x0"

    def __init__(self, path: str | os.PathLike) -> None:
        file = existing_file(path, "trefht_annual_1890_1999.npz")
        axes = read_npz(file, {"lat": 1, "lon": 1, "year": 1})
        known = [*_FORCED, *_NATURAL]
        with np.load(file, allow_pickle=False) as data:
            names = [name for name in data.files if name.startswith("run_")]
        unknown = [name for name in names if name not in {f"run_{number}" for number in known}]
        if not names or unknown:
            raise GaugenetError(f"{file}: expected arrays run_<number> with numbers among {known}, got {names}")
        runs = read_npz(file, dict.fromkeys(names, 3))
        years = len(axes["year"])
        check_shapes(file, runs, dict.fromkeys(names, (years, len(axes["lat"]), len(axes["lon"]))))
        try:
            self.grid = LatLonInterpolation(axes["lat"], axes["lon"])
        except GaugenetError as error:
            raise GaugenetError(f"{file}: {error}") from None
        self.temperature = np.concatenate([runs[name] for name in names]).astype(np.float32)
        self.run = np.repeat([int(name.removeprefix("run_")) for name in names], years)
        self.year = np.tile(axes["year"].astype(np.int64), len(names))
        self.label = np.isin(self.run, _FORCED).astype(np.int64)

    def __len__(self) -> int:
        return len(self.run)

    def split(self, test_runs: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Indices of training and test samples: all years of the given runs are for the test.

        Raises:
            ValueError: runs that are not there, or a part without samples of both labels.
        """
        missing = sorted({int(r) for r in test_runs} - {int(r) for r in self.run})
        if missing:
            raise ValueError(f"no run {missing}: the file has {sorted({int(r) for r in self.run})}")
        held = np.isin(self.run, list(test_runs))
        for name, part in (("test", held), ("training", ~held)):
            if len(set(self.label[part].tolist())) < 2:
                raise ValueError(f"the {name} set would not have runs of both labels")
        return np.flatnonzero(~held), np.flatnonzero(held)

    def signals(self, points: np.ndarray, base: tuple[int, int] | None = (1890, 1919)) -> np.ndarray:
        """(S, N) float32: anomalies in K at points (N, 3), from the mean of the same run over the years ``base`` (inclusive).

        Args:
            base: None gives the temperature itself, in which the runs differ already by their own climates.

        Raises:
            ValueError: base years that are not there.
        """
        values = self.temperature
        if base is not None:
            values = values.copy()
            early = (self.year >= base[0]) & (self.year <= base[1])
            for run in np.unique(self.run):
                own = self.run == run
                if not (own & early).any():
                    raise ValueError(f"run {run} has no years from {base[0]} to {base[1]}")
                values[own] -= self.temperature[own & early].mean(0, dtype=np.float64).astype(np.float32)
        return self.grid.scalars(values, points).astype(np.float32)
