"""Readers of GEM-CNN's, HSN's and FieldConv's weights: their numbers, from arrays of their code and from their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, groups, kernels
from gaugenet.data import GaugeGraph
from gaugenet.models import published
from gaugenet.nn import CoefficientTable, stream_type
from gaugenet.testing import equivariance_error
from tests.helpers.graphs import random_graph

SO2 = groups.SO2()


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    assert a.shape == b.shape
    return float((a - b).detach().abs().max() / b.abs().max())


@pytest.fixture(scope="module")
def gem(shared):
    return lambda name: np.load(shared / "oracles" / "gem" / f"{name}.npz")


def their_graph(geom, case=None) -> GaugeGraph:
    """In their frames, or in turned ones."""
    end = "" if case is None else "_gauged"
    coords, connection = ((geom if case is None else case)[f"{name}{end}"] for name in ("edge_coords", "connection"))
    return published.gem_graph(geom["edge_index"], coords, connection, 162)


@pytest.mark.parametrize("orders", [(0, 2), (1, 3), (2, 0), (2, 2)])
@pytest.mark.parametrize("gauged", [False, True])
def test_gem_convolution(gem, orders, gauged):
    case, geom = gem("gemconv_icosphere2_{}_{}".format(*orders)), gem("geometry_icosphere2")
    conv = published.gem_conv(
        {"weight": case["weight"], "self_weight.weight": case["self_weight"], "bias": case["bias"]}
    ).double()
    end = "_gauged" if gauged else ""
    y = conv(published.gem_features(case[f"x{end}"]), their_graph(geom, case if gauged else None))
    assert relative(y, published.gem_features(case[f"y{end}"])) < 1e-12
    assert equivariance_error(conv, their_graph(geom), conv.in_type, conv.out_type) < 1e-12


def block_state(case) -> dict:
    state = {}
    for name in (n for n in case.files if n.startswith("p_")):
        first, *rest = name.removeprefix("p_").split("_")
        inner = "_".join(rest)
        inner = inner.replace("self_weight_", "self_weight.")
        state[f"{first}.{inner}"] = case[name]
    return state


def test_gem_block(gem):
    """As published, with the biases on vectors that break its equivariance; without them it has only the aliasing."""
    case, graph = gem("gemblock_icosphere2"), their_graph(gem("geometry_icosphere2"))
    state, x = block_state(case), published.gem_features(case["x"])
    block = published.gem_res_net_block(state, 7).double()
    # Their transform to samples is in single precision.
    assert relative(block(x, graph), published.gem_features(case["y"])) < 2e-7
    mended = published.gem_res_net_block(state, 101, equivariant=True).double()
    errors = [equivariance_error(b, graph, block.in_type, block.out_type) for b in (block, mended)]
    assert errors[0] > 0.05 and errors[1] < 1e-3
    last = published.gem_res_net_block(state, 7, last_layer=True).double()
    assert torch.allclose(block.act2(last(x, graph)), block(x, graph))
    prefixed = {f"net.{name}": value for name, value in state.items()}
    again = published.gem_res_net_block({**prefixed, "other": 3}, 7, prefix="net.").double()
    assert torch.allclose(again(x, graph), block(x, graph), rtol=1e-10, atol=1e-10)


def test_gem_block_of_equal_widths():
    """Without a map in the residual; theirs adds the orders that both have."""
    torch.manual_seed(0)
    state = {}
    for k, (a, b) in enumerate(((1, 2), (2, 2)), start=1):
        state[f"conv{k}.weight"] = torch.randn(2, 3, 2 * a + 1, 3, 2 * b + 1, dtype=torch.float64)
        state[f"conv{k}.self_weight.weight"] = torch.randn(2 * min(a, b) + 1, 3, 3, dtype=torch.float64)
        state[f"conv{k}.bias"] = torch.randn(3, 2 * b + 1, dtype=torch.float64)
    block, graph = published.gem_res_net_block(state, 21).double(), random_graph(SO2)
    x = torch.randn(graph.num_nodes, block.in_type.dim, dtype=torch.float64)
    inner = block.conv2(block.act1(block.conv1(x, graph)), graph)
    inner[:, : x.shape[1]] += x
    assert torch.allclose(block(x, graph), block.act2(inner), rtol=1e-12, atol=1e-12)


def complex_streams(x: np.ndarray) -> torch.Tensor:
    """Theirs (V, orders, C, 2) as ours: of every order real parts, then imaginary ones."""
    return torch.from_numpy(x).double().permute(0, 1, 3, 2).flatten(1)


def test_harmonic_convolution(gem):
    case = gem("hsn_conv_order1")
    conv = published.harmonic_conv({name: case[name] for name in ("radial_profile", "phase_offset")}, 1, 1).double()
    receiver = torch.from_numpy(case["edge_index"][0])
    r, theta, phi = (torch.from_numpy(case[name]).double() for name in ("r", "theta", "connection_angle"))
    count = torch.bincount(receiver).double()
    rotation = published.gem_graph(case["edge_index"], torch.stack([r, theta], 1), phi, 162)
    graph = rotation
    graph.weight = 1 / count[graph.edge_index[1]]  # no self-loops here
    table = conv.table(graph)
    plan = conv.plan(graph, CoefficientTable(table.edge, torch.zeros_like(table.node)))
    assert relative(conv(complex_streams(case["x"]), graph, plan), complex_streams(case["y"])) < 1e-6  # theirs is single


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 0), (2, 2), (1, 3), (3, 2)])
@pytest.mark.parametrize("separate", [True, False])
def test_harmonic_convolution_of_any_order(low, high, separate):
    """Their formula with the right transport."""
    torch.manual_seed(0)
    c_in, c_out, rings, graph = 2, 3, 3, random_graph(SO2)
    if not separate and low > high:
        pytest.skip("there are no profiles for the differences of these orders")
    pairs = (low + 1) * (high + 1) if separate else high + 1
    state = {"radial_profile": torch.randn(pairs, rings, c_out, c_in, dtype=torch.float64)}
    state["phase_offset"] = torch.randn(pairs, c_out, c_in, dtype=torch.float64)
    conv = published.harmonic_conv(state, low, high).double()
    x = torch.randn(graph.num_nodes, stream_type(c_in, low).dim, dtype=torch.float64)
    z = torch.complex(*x.view(len(x), low + 1, 2, c_in).unbind(2))
    source, target = graph.edge_index
    theta = torch.atan2(graph.log[:, 1], graph.log[:, 0])
    phi = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
    hats = kernels.LinearRings(rings, cutoff=False)(graph.log.norm(dim=1)) * graph.weight[:, None]
    out = torch.zeros(len(x), high + 1, c_out, dtype=torch.complex128)
    for n in range(low + 1):
        carried = z[source, n] * torch.exp(1j * n * phi)[:, None]
        for m in range(high + 1):
            k = n * (high + 1) + m if separate else abs(m - n)
            kernel = torch.einsum("er,roi->eoi", hats, state["radial_profile"][k])
            kernel = kernel * torch.exp(1j * state["phase_offset"][k])
            kernel = kernel * torch.exp(1j * (m - n) * theta)[:, None, None]
            out[:, m].index_add_(0, target, torch.einsum("eoi,ei->eo", kernel, carried))
    table = conv.table(graph)
    plan = conv.plan(graph, CoefficientTable(table.edge, torch.zeros_like(table.node)))
    expected = torch.stack([out.real, out.imag], 2).flatten(1)
    assert relative(conv(x, graph, plan), expected) < 1e-12


@pytest.mark.parametrize("kind", ["real", "offset", "complex"])
@pytest.mark.parametrize("largest", [1, 2, 3])
def test_field_convolution(kind, largest):
    """Their code's steps: powers of the direction, a stencil of log_q(p), coefficients by frequency, over 2 B + 1."""
    torch.manual_seed(0)
    c_in, c_out, rings, graph = 2, 3, 3, random_graph(SO2)
    double = {"dtype": torch.float64}
    frequencies = torch.arange(-largest, largest + 1)
    if kind == "complex":
        state = {
            "zonal": torch.randn(c_out, c_in, rings, 2, **double),
            "spherical": torch.randn(c_out, c_in, rings, 2 * largest, 2, **double),
            "phase": torch.zeros(c_out, c_in, largest + 1, **double),
        }
        low, high = torch.view_as_complex(state["spherical"]).chunk(2, 3)
        coefficients = torch.cat([low, torch.view_as_complex(state["zonal"])[..., None], high], 3)
    else:
        phase = torch.randn if kind == "offset" else torch.zeros
        state = {
            "zonal": torch.randn(c_out, c_in, rings, **double),
            "spherical": torch.randn(c_out, c_in, rings, largest, 2, **double),
            "phase": phase(c_out, c_in, largest + 1, **double),
        }
        spherical = torch.view_as_complex(state["spherical"])
        coefficients = torch.cat([spherical.conj(), state["zonal"][..., None] + 0j, spherical], 3)
        coefficients = coefficients * torch.exp(1j * state["phase"][..., frequencies.abs()])[:, :, None]
    layer = published.field_conv(state).double()
    x = torch.randn(graph.num_nodes, 2 * c_in, **double)
    z = torch.complex(*x.view(len(x), 2, c_in).unbind(1))
    source, target = graph.edge_index
    back = -torch.einsum("eba,eb->ea", graph.transport, graph.log)  # log_q(p)
    theta = torch.atan2(back[:, 1], back[:, 0])
    phi = torch.atan2(graph.transport[:, 1, 0], graph.transport[:, 0, 0])
    profile = kernels.LinearRings(rings, equal_area=True, cutoff=False)
    radial = profile(graph.log.norm(dim=1)) * graph.weight[:, None] * torch.exp(1j * phi)[:, None]
    stencil = radial[:, :, None] * torch.exp(1j * frequencies * theta[:, None])[:, None]
    powers = z[..., None] * torch.exp(-1j * frequencies * z.angle()[..., None])
    sums = torch.zeros(len(x), c_in, rings, len(frequencies), dtype=torch.complex128)
    sums.index_add_(0, target, powers[source][:, :, None] * stencil[:, None])
    out = torch.einsum("ncrm,ocrm->no", sums, coefficients) / (2 * largest + 1)
    table = layer.conv.table(graph)
    plan = layer.conv.plan(graph, CoefficientTable(table.edge, torch.zeros_like(table.node)))
    expected = torch.stack([out.real, out.imag], 1).flatten(1)
    assert relative(layer(x, graph, plan), expected) < 1e-11


def test_errors_name_what_is_wrong():
    good = {"weight": torch.randn(2, 3, 1, 3, 3), "self_weight.weight": torch.randn(1, 3, 3), "bias": torch.zeros(3, 3)}
    assert published.gem_conv(good).conv.weight.dtype == torch.float32  # as the state
    assert published.gem_conv({name: value.double() for name, value in good.items()}).conv.weight.dtype == torch.float64
    with pytest.raises(ValueError, match="GemConv: no 'bias' in the state"):
        published.gem_conv({name: value for name, value in good.items() if name != "bias"})
    with pytest.raises(ValueError, match="expected no 'more' in the state"):
        published.gem_conv({**good, "more": torch.zeros(2)})
    with pytest.raises(ValueError, match=r"expected 'bias' of shape \(3, 3\), got \(3, 5\)"):
        published.gem_conv({**good, "bias": torch.zeros(3, 5)})
    with pytest.raises(ValueError, match="rings >= 2"):
        published.gem_conv({**good, "weight": good["weight"][:1]})
    with pytest.raises(TypeError, match="expected a state_dict"):
        published.gem_conv([good])
    with pytest.raises(ValueError, match="nothing of this prefix"):
        published.gem_conv(good, prefix="net.")
    block = {f"conv{k}.{name}": value for k in (1, 2) for name, value in good.items()}
    block["conv2.weight"], block["conv2.self_weight.weight"] = torch.randn(2, 3, 3, 3, 3), torch.randn(3, 3, 3)
    with pytest.raises(ValueError, match=r"expected no 'nonlin1\.act\.0\.weight'"):
        published.gem_res_net_block({**block, "nonlin1.act.0.weight": torch.ones(3)}, 7)
    with pytest.raises(ValueError, match="samples"):
        published.gem_res_net_block(block, 0)
    harmonic = {"radial_profile": torch.randn(4, 2, 3, 3)}
    published.harmonic_conv(harmonic, 1, 1)
    with pytest.raises(ValueError, match="6 pairs of orders"):
        published.harmonic_conv(harmonic, 1, 2)
    with pytest.raises(ValueError, match="in_order"):
        published.harmonic_conv(harmonic, -1, 2)
    with pytest.raises(ValueError, match="at least two rings"):
        published.field_conv({"spherical": torch.zeros(2, 2, 1, 1, 2)})
    with pytest.raises(ValueError, match="no 'phase'"):
        published.field_conv({"spherical": torch.zeros(2, 2, 3, 1, 2)})


def test_types_and_graph():
    assert published.gem_conv(
        {"weight": torch.randn(2, 3, 1, 3, 3), "self_weight.weight": torch.randn(1, 3, 3), "bias": torch.zeros(3, 3)}
    ).out_type == FieldType(SO2, "3x0 + 3x1")
    edges, coords = torch.tensor([[0, 0, 1, 1], [0, 1, 1, 0]]), torch.tensor([[0.0, 0.0], [2.0, 1.0], [0.0, 0.0], [1.0, 0.5]])
    graph = published.gem_graph(edges, coords, torch.zeros(4), 2)
    assert graph.radius.tolist() == [2.0, 2.0] and graph.weight.tolist() == [0.5, 0.5]
    assert graph.edge_index.tolist() == [[1, 0], [0, 1]]
    assert published.gem_graph(edges, coords, torch.zeros(4), 2, radius=3).radius.tolist() == [3.0, 3.0]
