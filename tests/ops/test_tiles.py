"""Register tiles of the CPU loop: every shape on any machine, and the whole loop with the tiles of another processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import njit
from numba.core.registry import cpu_target

from gaugenet import FieldType, groups
from gaugenet.nn import GaugeConv
from gaugenet.ops.cpu import kernels
from gaugenet.ops.cpu.tiles import SHAPES, instruction_set
from gaugenet.ops.cpu.vector import PANEL, make_tile, make_wide_tile
from tests.helpers.graphs import sphere_graph
from tests.helpers.networks import randomise

ROOT = Path(__file__).resolve().parents[2]
ALL = sorted({rows for shapes in SHAPES.values() for rows in (*shapes.product, *shapes.sums)})
plain, in_panels = make_tile(tuple(ALL)), make_tile(tuple(ALL), panels=True)


@njit
def run_plain(rows, values, table, count, start, factor, out):
    n = table.shape[1]
    plain(rows, values, 0, PANEL, table, 0, n, 1, 0, count, start, 0, PANEL, factor, 0, 1, out, 0, PANEL)


@njit
def run_panels(rows, values, table, panels, start, factor, out, gap):
    in_panels(rows, values, 0, PANEL, table, 0, 1, PANEL, gap, panels, start, 0, PANEL, factor, 0, 1, out, 0, PANEL)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("rows", ALL)
def test_every_tile_is_a_matrix_product(rows, count, dtype):
    random = np.random.default_rng(rows)
    values, table = (
        random.normal(size=(count, PANEL)).astype(dtype),
        random.normal(size=(max(count, 1), rows + 2)).astype(dtype),
    )
    start, factor = random.normal(size=(rows, PANEL)).astype(dtype), random.normal(size=rows).astype(dtype)
    out = np.full((rows + 1, PANEL), 9.0, dtype)
    run_plain(rows, values, table, count, start, factor, out)
    expected = factor[:, None] * start + table[:count, :rows].T @ values
    np.testing.assert_allclose(out[:rows], expected, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-5)
    assert (out[rows] == 9.0).all()  # nothing written behind the last row


@pytest.mark.parametrize("panels", [0, 1, 3])
@pytest.mark.parametrize("rows", ALL)
def test_every_tile_of_panels(rows, panels):
    random = np.random.default_rng(rows)
    nodes = rows + 3
    values, table = random.normal(size=(panels * PANEL, PANEL)), random.normal(size=(max(panels, 1), nodes, PANEL))
    start, factor, out = random.normal(size=(rows, PANEL)), random.normal(size=rows), np.full((rows + 1, PANEL), 9.0)
    run_panels(rows, values, table, panels, start, factor, out, nodes * PANEL - PANEL)
    matrix = table[:panels].transpose(1, 0, 2).reshape(nodes, -1)[:rows]
    np.testing.assert_allclose(out[:rows], factor[:, None] * start + matrix @ values, rtol=1e-12, atol=1e-12)
    assert (out[rows] == 9.0).all()


@pytest.mark.parametrize("panels", [False, True])
@pytest.mark.parametrize("wide", sorted({shapes.wide for shapes in SHAPES.values()}))
def test_panels_side_by_side(wide, panels):
    rows, count, gap = 6, 2 * PANEL, 3
    tile, random = make_wide_tile((4, rows), wide, panels), np.random.default_rng(wide)
    values, table = random.normal(size=(wide, count + gap, PANEL)), random.normal(size=(2, rows + 1, PANEL))
    start, factor = random.normal(size=(wide, rows + gap, PANEL)), random.normal(size=rows)
    out = np.full((wide, rows + 1, PANEL), 9.0)
    across = values[0].size, start[0].size, out[0].size
    # In panels the sum goes over both parts of the table, else over the numbers of the first.
    total, strides = (2, (1, PANEL, rows * PANEL)) if panels else (PANEL, (1, PANEL, 0))

    @njit
    def run(rows, values, table, total, strides, start, factor, out, across):
        a, b, c = strides
        tile(rows, values, 0, PANEL, table, 0, a, b, c, total, start, 0, PANEL, factor, 0, 1, out, 0, PANEL, across)

    run(rows, values, table, total, strides, start, factor, out, across)
    matrix = table[: 2 if panels else 1, :rows].transpose(1, 0, 2).reshape(rows, -1)
    expected = factor[:, None] * start[:, :rows] + matrix @ values[:, : matrix.shape[1]]
    np.testing.assert_allclose(out[:, :rows], expected, rtol=1e-12, atol=1e-12)
    assert (out[:, rows] == 9.0).all()  # nothing written behind the last row


CALL = """
import sys, torch
from gaugenet.ops.cpu import tiles
from tests.ops.test_tiles import results
assert sys.argv[1] == tiles.NAME
torch.save(results(), sys.argv[2])
"""


def results() -> list[torch.Tensor]:
    """Outputs and gradients of a layer whose blocks are no multiples of a panel, nor its columns of a tile."""
    torch.manual_seed(0)
    graph = sphere_graph(2)
    made = []
    for input, output in (("3x0 + 17x1", "20x0 + 1x2"), ("16x0 + 16x1", "5x0 + 33x1")):
        types = FieldType(groups.SO2(), input), FieldType(groups.SO2(), output)
        conv = randomise(GaugeConv(*types, radial=3, backend="cpu"))
        x = torch.randn(graph.radius.shape[0], types[0].dim, requires_grad=True)
        out = conv(x, graph)
        made += [out.detach(), *torch.autograd.grad(out.square().sum(), (x, conv.weight))]
    return made


@pytest.mark.parametrize(
    "name", ["sse", pytest.param("avx2", marks=pytest.mark.slow), pytest.param("avx512", marks=pytest.mark.slow)]
)
def test_the_loop_with_the_tiles_of_another_processor(name, tmp_path):
    environment = os.environ | {"GAUGENET_TILES": name, "PYTHONPATH": str(ROOT)}
    path = tmp_path / "results.pt"
    subprocess.run([sys.executable, "-c", CALL, name, str(path)], env=environment, check=True, cwd=ROOT, timeout=600)
    for here, there in zip(results(), torch.load(path), strict=True):
        assert (here - there).abs().max() <= 1e-4 * here.abs().max()


def test_code_on_the_disk_goes_by_the_tiles(monkeypatch):
    codegen, keys = cpu_target.target_context.codegen(), []
    for name in ("", "sse"):
        monkeypatch.setenv("GAUGENET_TILES", name)
        keys.append(kernels.convolve._cache._index_key((), codegen))
    assert keys[0] != keys[1]


def test_an_unknown_name_is_refused(monkeypatch):
    monkeypatch.setenv("GAUGENET_TILES", "mmx")
    with pytest.raises(ValueError, match=r"GAUGENET_TILES='mmx'.*avx512, avx2, neon, sse"):
        instruction_set()
