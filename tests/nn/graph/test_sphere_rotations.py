"""Layers on samplings of the sphere nearly commute with rotations of the sphere: the sum is nearly the integral."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups
from gaugenet.kernels import harmonics
from gaugenet.nn import GaugeConv

DEGREE = 8


def random_sphere(n):
    points = np.random.default_rng(0).normal(size=(n, 3))
    return geometry.sphere(points / np.linalg.norm(points, axis=1, keepdims=True))


def in_space(values, order, frame):
    """(N, 3, ..., 3) tensors in space of fields of an order: their components are harmonics of degree <= DEGREE + order."""
    if order == 0:
        return values[:, 0]
    if order == 1:
        return torch.einsum("nid,nd->ni", frame, values)
    a, b = values.T
    tensor = torch.stack([torch.stack([a, b], -1), torch.stack([b, -a], -1)], -2)
    return torch.einsum("nid,nde,nje->nij", frame, tensor, frame)


def rotation_errors(local, **options):
    """Relative difference between the answer to a rotated scalar field and the rotated answer, for orders 0, 1 and 2."""
    torch.manual_seed(0)
    so2 = groups.SO2()
    conv = GaugeConv(FieldType(so2, "1x0"), FieldType(so2, "1x0 + 1x1 + 1x2"), self_interaction=False, **options).double()
    points, frame, graph = torch.tensor(local.positions), torch.tensor(local.frame), local.to_graph()
    turn = torch.linalg.qr(torch.randn(3, 3, dtype=torch.double))[0]
    turn = turn * torch.linalg.det(turn)
    back = points @ turn  # R^-1 p
    coefficients = torch.randn((DEGREE + 1) ** 2, 1, dtype=torch.double)
    with torch.no_grad():
        plain, turned = (conv(harmonics(p, DEGREE) @ coefficients, graph) for p in (points, back))
    errors = []
    for order, (a, b) in enumerate(zip(conv.out_type.split(plain), conv.out_type.split(turned))):
        a, b = in_space(a[:, :, 0], order, frame), in_space(b[:, :, 0], order, frame)
        fit = torch.linalg.lstsq(harmonics(points, DEGREE + order), a.flatten(1) if order else a[:, None]).solution
        expected = (harmonics(back, DEGREE + order) @ fit).view_as(b)
        for _ in range(order):  # every index turns along
            expected = torch.einsum("ij,nj...->n...i", turn, expected)
        errors.append(float((b - expected).norm() / expected.norm()))
    return np.array(errors)


def test_the_icosphere_is_within_one_percent_and_refining_helps():
    fine, coarse = rotation_errors(geometry.icosphere(5)), rotation_errors(geometry.icosphere(4))
    assert (fine < 0.01).all()
    assert (fine < coarse / 2).all()
    assert (rotation_errors(geometry.icosphere(4), quadrature=None)[1:] > 0.01).all()  # so it is the quadrature that does it


@pytest.mark.parametrize("make", [lambda: random_sphere(10_000), lambda: geometry.healpix(29, nest=False)])
def test_other_points_are_within_three_percent(make):
    assert (rotation_errors(make()) < 0.03).all()
