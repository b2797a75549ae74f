"""ClebschGordanNet: spectra of images on the sphere, turned exactly."""

from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, geometry, groups, models
from gaugenet.spectral import LatLonGrid, SphericalTransform, rotate_coefficients
from tests.helpers.networks import randomise, with_statistics

SO3, O3, SO2 = groups.SO3(), groups.O3(), groups.SO2()
LMAX = 4
SPECTRUM = FieldType(SO3, " + ".join(f"1x{l}" for l in range(LMAX + 1)))


def network(in_type: FieldType = SPECTRUM, **options) -> models.ClebschGordanNet:
    torch.manual_seed(0)
    return models.ClebschGordanNet(in_type, 5, **{"channels": (4, 4), **options})


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("norm", ["batch", "layer", None])
@pytest.mark.parametrize("group", [SO3, O3, SO2], ids=str)
def test_invariant_under_every_element(group, norm, training):
    in_type = FieldType(group, " + ".join(f"2x{l}" for l in range(4)))
    net = with_statistics(randomise(network(in_type, norm=norm))).double().train(training)
    generator = torch.Generator().manual_seed(1)
    x = in_type.randn(9, dtype=torch.float64, generator=generator)
    g = group.sample(9, generator=generator)  # another one for every example
    with torch.no_grad():
        before, after = net(x), net(in_type.transform(g, x))
    assert (before - after).abs().max() < 1e-12 * before.abs().max()


def test_images_on_the_sphere():
    """The spectrum of an image is a feature of SO(3) as it is; turned images have the logits of the image."""
    grid = LatLonGrid.gauss_legendre(8, 16)
    transform = SphericalTransform(grid, LMAX).double()
    images = transform.synthesis(torch.randn(3, SPECTRUM.dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    (rotation,) = SO3.sample(1, generator=torch.Generator().manual_seed(1))
    turned = transform.synthesis(rotate_coefficients(transform.analysis(images), rotation))
    net = network().double().eval()
    with torch.no_grad():
        before, after = (net(transform.analysis(x)) for x in (images, turned))
    assert (images - turned).abs().max() > 0.1
    assert (before - after).abs().max() < 1e-10 * before.abs().max()


def test_products_are_the_only_nonlinearity():
    """In evaluation one layer is a polynomial of degree 2: third differences are zero, second ones are not."""
    net = with_statistics(randomise(network(channels=(4,)))).double().eval()
    a, b = (SPECTRUM.randn(1, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    with torch.no_grad():
        f = [net(a + t * b) for t in range(4)]
    scale = max(part.abs().max() for part in f)
    assert (f[3] - 3 * f[2] + 3 * f[1] - f[0]).abs().max() < 1e-12 * scale
    assert (f[2] - 2 * f[1] + f[0]).abs().max() > 1e-3 * scale


def test_on_the_manifold_of_one_point():
    graph, x = geometry.point(6).to_graph(), SPECTRUM.randn(6, dtype=torch.float64)
    net = network().double().eval()
    assert torch.equal(net(x, graph), net(x))
    with pytest.raises(ValueError, match="5 nodes for a graph of 6"):
        net(x[:5], graph)


def test_phases_count():
    """Two spectra of equal power in every degree, which differ by turns of the degrees against each other."""
    x = SPECTRUM.randn(1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    g = SO3.sample(1, generator=torch.Generator().manual_seed(1))
    parts = SPECTRUM.split(x)
    other = SPECTRUM.join([*parts[:2], *SPECTRUM.split(SPECTRUM.transform(g, x))[2:]])
    net = network().double().eval()
    with torch.no_grad():
        assert (net(x) - net(other)).abs().max() > 1e-4 * net(x).abs().max()


def test_it_learns():
    """Two images in any orientation, told apart after training on one of each."""
    generator = torch.Generator().manual_seed(0)
    x, label = SPECTRUM.randn(2, generator=generator), torch.tensor([0, 1])
    net = network(norm=None)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(40):
        loss = torch.nn.functional.cross_entropy(net(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    g = SO3.sample(20, generator=generator, dtype=torch.float32)
    turned = SPECTRUM.transform(g, x.repeat_interleave(10, 0))
    assert (net(turned).argmax(1) == label.repeat_interleave(10)).all()


@pytest.mark.parametrize(
    "options", [{"channels": (4, 4, 4)}, {"channels": (3, 4)}, {"order": 2}, {"norm": "layer"}, {"norm": None}]
)
def test_every_argument_matters(options):
    x = SPECTRUM.randn(4, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(network()(x), network(**options)(x), rtol=1e-3)


def test_order_is_that_of_the_input_by_default():
    assert network().order == LMAX and network(order=1).order == 1
