"""Expressions of rows in vector instructions: each against numpy, at every width, and the ends of the logistic function."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from gaugenet.ops.cpu import vector
from gaugenet.ops.cpu.vector import NARROW, PANEL, make_map

EXPRESSIONS = {
    "product": lambda d, a, b, f: f * a * b,
    "add_product": lambda d, a, b, f: d + f * a * b,
    "weighted_sum": lambda d, a, b, f: a + f * b,
    "add_positive": lambda d, a, b, f: d + f * np.maximum(a, 0),
    "where_positive": lambda d, a, b, f: f * np.where(a > 0, b, 0),
    "logistic": lambda d, a, b, f: 1 / (1 + np.exp(-a)),
    "logistic_slope": lambda d, a, b, f: f * a * b * (1 - b),
}


def compiled(name: str, width: int):
    step = make_map(width, getattr(vector, name))

    @njit(error_model="numpy")
    def run(dst, a, b, f):
        for i in range(0, dst.size, width):
            step(dst, i, a, i, b, i, f)

    return run


@pytest.mark.parametrize("name", EXPRESSIONS)
@pytest.mark.parametrize("width", [PANEL, NARROW, 1])
def test_expressions(name, width, dtype):
    kind = np.float64 if "64" in str(dtype) else np.float32
    d, a, b = np.random.default_rng(0).normal(size=(3, 64)).astype(kind)
    f, wanted = kind(0.7), EXPRESSIONS[name](*(x.astype(np.float64) for x in (d, a, b)), float(kind(0.7)))
    compiled(name, width)(d, a, b, f)
    assert np.abs(d - wanted).max() < 4 * np.finfo(kind).eps * max(1, np.abs(wanted).max())


def test_logistic_function_from_end_to_end(dtype):
    """Four units in the last place over the whole range, 0 and 1 beyond, and what is not known stays so."""
    kind = np.float64 if "64" in str(dtype) else np.float32
    most = 700 if kind is np.float64 else 85
    a = np.linspace(-most, most, 16 * 4001).astype(kind)
    out = np.empty_like(a)
    compiled("logistic", PANEL)(out, a, a, kind(1))
    wanted = 1 / (1 + np.exp(-a.astype(np.longdouble)))
    assert (np.abs(out - wanted) / wanted).max() < 4 * np.finfo(kind).eps
    ends = np.resize(np.array([np.nan, np.inf, -np.inf, 1e4, -1e4], kind), 16)
    compiled("logistic", PANEL)(out[:16], ends, ends, kind(1))
    assert np.isnan(out[0]) and np.array_equal(out[[1, 3]], [1, 1]) and (out[[2, 4]] < np.finfo(kind).tiny * 4).all()


def test_what_is_not_known_is_passed_on(dtype):
    kind = np.float64 if "64" in str(dtype) else np.float32
    nothing = np.full(PANEL, np.nan, kind)
    for name in EXPRESSIONS:
        out = np.zeros(PANEL, kind)
        compiled(name, PANEL)(out, nothing, nothing, kind(1))
        assert np.isnan(out).all(), name
