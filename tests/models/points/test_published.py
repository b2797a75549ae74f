"""TensorFieldNetwork beside numbers of the published code."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, models
from gaugenet.groups.harmonic_action import spherical_action
from gaugenet.kernels import Polar, SteerableBasis, spherical_harmonics
from gaugenet.models.points.published import RadialUnits
from gaugenet.nn import GaugeConv

RADIUS = 10.0
SO3 = groups.SO3()


@pytest.fixture(scope="module")
def published(shared):
    return np.load(shared / "oracles" / "seeds" / "tfn" / "tfn.npz")


def weights(published) -> dict[str, np.ndarray]:
    return {name[2:]: published[name] for name in published if name.startswith("w:")}


def network(published, radius: float = RADIUS, **options) -> models.TensorFieldNetwork:
    rings = published["rbf_centers"], float(published["rbf_gamma"])
    return models.TensorFieldNetwork.from_published(weights(published), *rings, radius, **options)


def cloud(published, radius: float = RADIUS):
    return geometry.points(published["pts"], radius, weight="sum").to_graph()


def ours(values: np.ndarray) -> np.ndarray:
    """(N, copies, 2l + 1) -> (N, (2l + 1) copies), component by component."""
    return values.swapaxes(1, 2).reshape(len(values), -1)


@pytest.mark.parametrize("radius", [RADIUS, 25.0])
def test_numbers_of_the_published_code(published, radius):
    net = network(published, radius)
    x = torch.from_numpy(ours(published["f0"]))
    assert str(net.embedding) == "3x0" and str(net.hidden[0]) == "3x0 + 3x1" and str(net.out_type) == "6x0 + 9x1"
    with torch.no_grad():
        hidden, out = net.features(x, cloud(published, radius))
    for found, names in ((hidden, ("nl1_L0_0", "nl1_L1_0")), (out, ("conv2_L0_0", "conv2_L1_0"))):
        wanted = np.concatenate([ours(published[name]) for name in names], 1)
        assert np.abs(found.numpy() - wanted).max() < 1e-9


def test_it_turns_with_the_points(published):
    net, x = network(published), torch.from_numpy(ours(published["f0"]))
    turned = geometry.points(published["pts"] @ published["R"].T + published["t"], RADIUS, weight="sum").to_graph()
    with torch.no_grad():
        before, after = net(x, cloud(published)), net(x, turned)
    assert (net.out_type.transform(torch.from_numpy(published["R"]), before) - after).abs().max() < 1e-12 * before.abs().max()


def test_it_trains_on(published):
    net, graph = network(published), cloud(published)
    net(torch.from_numpy(ours(published["f0"])), graph).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters() if p.numel())


def basis_change(published) -> torch.Tensor:
    """T orthogonal with our harmonics of degree 2 = sqrt(3) T theirs, which are xy, yz, (2 z^2 - x^2 - y^2) / sqrt(12), ..."""
    pts = torch.from_numpy(published["pts"])
    y = spherical_harmonics(pts[:, None] - pts, 2)[..., 4:].flatten(0, 1)
    theirs = torch.from_numpy(published["Y2"]).flatten(0, 1)
    t = torch.linalg.lstsq(theirs, y).solution.t() / 3**0.5
    assert (3**0.5 * theirs @ t.t() - y).abs().max() < 1e-12 and (t @ t.t() - torch.eye(5)).abs().max() < 1e-12
    return t


def test_harmonics_and_rotations_of_degree_2(published):
    t, g = basis_change(published), torch.from_numpy(published["R"])
    assert (t.t() @ spherical_action(2, g) @ t - torch.from_numpy(published["D2"])).abs().max() < 1e-10


def test_a_filter_of_degree_2(published):
    """From scalars to degree 2: its radial network in our units, its harmonics in our basis."""
    units = [torch.from_numpy(published[f"w:F2_to_2/F_2/radial_function/{part}:0"]) for part in ("weights1", "biases1")]
    last, constant = (
        torch.from_numpy(published[f"w:F2_to_2/F_2/radial_function/{part}:0"]) for part in ("weights2", "biases2")
    )
    rings = torch.from_numpy(published["rbf_centers"]) / RADIUS, float(published["rbf_gamma"]) * RADIUS**2, 1e-4 / RADIUS
    types = FieldType(SO3, "3x0"), FieldType(SO3, "3x2")
    kernel = Polar(RadialUnits(*units, *rings), quadrature=None)
    conv = GaugeConv(*types, kernel=kernel, self_interaction=False).double()
    basis = SteerableBasis(SO3.irrep(0), SO3.irrep(2), max_frequency=2)
    size = basis(torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64))[
        0, 0, 2, 0
    ]  # of the one kernel, where Y_2 is (0, 0, 1, ..)
    with torch.no_grad():
        rows = torch.cat([last, constant[:, None]], 1).t()  # (units, copies)
        conv.weight.copy_((torch.diag_embed(rows) / (3**0.5 * size)).flatten())
        embedded = network(published).embed(torch.from_numpy(ours(published["f0"])))
        found = conv(embedded, cloud(published))
    t, wanted = basis_change(published), torch.from_numpy(published["filter2_out2"])
    assert (found - torch.einsum("ij,ncj->nic", t, wanted).flatten(1)).abs().max() < 1e-9


def test_what_is_no_such_network(published):
    names, rings = weights(published), (published["rbf_centers"], 1.5, RADIUS)
    read = models.TensorFieldNetwork.from_published
    with pytest.raises(ValueError, match="names like convolution/L0"):
        read({"conv1.weight": np.zeros(3)}, *rings)
    with pytest.raises(ValueError, match="as the published one"):  # a cross product of vectors is none under reflections
        read(names, *rings, group=groups.O3())
    more = names | {"convolution_1/L1/tensor_1/F0_to_L/F_0/radial_function/weights1:0": np.zeros((4, 4))}
    with pytest.raises(ValueError, match="several tensors"):
        read(more, *rings)
    with pytest.raises(ValueError, match="behind the last convolution"):
        read(names | {"nonlinearity_1/L0/tensor_0/biases:0": np.zeros(3)}, *rings)
