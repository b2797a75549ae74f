from __future__ import annotations

import pytest
import torch

from gaugenet import FieldType, groups, models
from gaugenet.testing import assert_gauge_equivariant
from tests.graphs import icosphere_graph
from tests.models.test_models import with_statistics
from tests.nn.test_gauge_conv import randomise

SO2, NONE = groups.SO2(), groups.Trivial()
SCALAR = FieldType(SO2, "1x0")
CLASSIFIERS = [models.SphericalCNN, models.ZonalCNN, models.DeepSphere, models.SpinCNN]


@pytest.fixture(scope="module")
def sphere():
    return icosphere_graph()


@pytest.fixture(scope="module")
def framed():
    return icosphere_graph(structure="e")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_classifiers_are_equivariant_as_shipped(model, dtype, sphere):
    for in_type in (SCALAR, FieldType(SO2, "2x0 + 1x1")):
        net = with_statistics(randomise(model(in_type, 5))).to(dtype)
        assert_gauge_equivariant(net, sphere, in_type, tolerance=1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_unet_is_equivariant_as_shipped(dtype, sphere):
    out_type = FieldType(SO2, "3x0 + 1x1")
    net = with_statistics(randomise(models.SphericalUNet(SCALAR, out_type))).to(dtype)
    assert_gauge_equivariant(net, sphere, SCALAR, out_type, tolerance=1e-10 if dtype == torch.float64 else 1e-4)
