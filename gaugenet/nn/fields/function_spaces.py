"""Which fields are coefficients of functions on a circle, a sphere or a group, and where these functions are sampled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...fields import FieldType
from ...groups import (
    O2,
    O3,
    SO2,
    SO3,
    AxialGroup,
    Axisymmetric,
    BandLimited,
    Dihedral,
    Group,
    Reflection,
    Representation,
    Trivial,
    turned,
)
from ...groups.band_limited import kept_vectors
from ...groups.spatial.lebedev import frames_at, rotation_nodes, sphere_degrees, sphere_nodes, turns_for
from ...kernels import harmonics
from .nonlinearities import is_pointwise


class FunctionSpace(NamedTuple):
    """Fields that are coefficients of functions, by irrep.

    Attributes:
        rows: (irrep, [(block, mul), ...]) in the order of the coefficients, with blocks of ``type.irreducible()``: the copies
            of one irrep may stand in several.
        synthesis: (S, n) float64, the values of the functions from their coefficients. weights: (S,) of the samples, of sum 1;
            None where all are equal.
    """

    rows: list[tuple[Representation, list[tuple[int, int]]]]
    synthesis: Tensor
    weights: Tensor | None

    @property
    def width(self) -> int:
        """The number of functions: of the irrep with the most copies."""
        return max(sum(mul for _, mul in blocks) for _, blocks in self.rows)

    def analysis(self) -> Tensor:
        """(n, S), the coefficients of a function from its values."""
        count = len(self.synthesis)
        return self.synthesis.t() / count if self.weights is None else (self.synthesis * self.weights[:, None]).t()


def function_spaces(type: FieldType, samples: int, name: str) -> list[FunctionSpace]:
    """The functions among the fields of a type; of the others every component is acted on alone.

    Args:
        samples: on a circle; in space see :func:`sphere_rule`. name: of the layer, for errors.

    Raises:
        TypeError: fields that are neither permuted by the group nor functions.
    """
    irreps: dict[Representation, list[tuple[int, int]]] = {}
    limited: dict[BandLimited, dict[int, list[tuple[int, int]]]] = {}
    block = 0
    for mul, rep in type.blocks:
        if isinstance(rep, BandLimited):
            parts = limited.setdefault(rep, {})
            for number in range(len(rep.parts)):
                parts.setdefault(number, []).append((block + number, mul))
            block += len(rep.parts)
            continue
        if not (is_pointwise(rep) and rep.dim > 1):
            check_function(rep, name)
            irreps.setdefault(rep, []).append((block, mul))
        block += 1
    spaces = []
    if not all(is_pointwise(rep) for rep in irreps):  # scalars alone are constant functions: pointwise is the same and cheaper
        spaces.append(FunctionSpace(list(irreps.items()), *_of_irreps(list(irreps), type.group, samples)))
    for rep, parts in limited.items():
        g, weights = _nodes(rep, samples)
        rows = [(part, parts[number]) for number, part in enumerate(rep.parts)]
        spaces.append(FunctionSpace(rows, rep.evaluation(g), weights))
    return spaces


def check_function(rep: Representation, name: str = "RegularNonlinearity") -> None:
    """TypeError unless an irrep is a function on the points that its group moves, or scalars."""
    if is_pointwise(rep) or is_function(rep):
        return
    if rep.group.dim == 2:
        raise TypeError(f"{rep} is no function on the circle: use NormNonlinearity or GatedNonlinearity for it")
    if rep.group.order is not None:
        raise TypeError(
            f"{name} acts on regular and quotient fields of finite groups of space, got {rep!r}: take NormNonlinearity or "
            "GatedNonlinearity for it"
        )
    raise TypeError(
        f"{name}: {rep!r} is no function on the {'sphere' if rep.group in (SO3(), O3()) else 'circle'}, which no element that "
        "fixes a point would change there: take NormNonlinearity or GatedNonlinearity for twisted irreps, or functions on the "
        'group, "regular(1)"'
    )


def is_function(rep: Representation) -> bool:
    """Whether an irrep consists of functions on the circle (planar groups), or on the points of :func:`_stabiliser`."""
    group = rep.group
    if group.dim == 2:
        if not group.reflects:
            return True
        first = rep(torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64)))[:, 0]
        expected = torch.zeros_like(first)
        expected[0] = 1.0
        return torch.allclose(first, expected)
    return group.order is None and len(_fixed(rep)) == 1


def serves_functions(type: FieldType) -> bool:
    """Whether all fields of a type are permuted components, or functions on the circle."""
    return type.group.dim == 2 and all(
        not isinstance(rep, BandLimited) and ((is_pointwise(rep) and rep.dim > 1) or is_function(rep)) for _, rep in type.blocks
    )


def rotations_of(group: Group) -> int:
    """How many rotations a finite planar group has; 0 for others."""
    if group.order is None or group.dim != 2:
        return 0
    return max(group.order // 2, 1) if group.reflects else group.order


def largest_order(type: FieldType) -> int:
    """Of the functions."""
    return max((rep.degree for _, rep in type.irreducible().blocks if not is_pointwise(rep)), default=0)


def is_sphere(group: Group) -> bool:
    """Whether functions are sampled at directions of space, and turns about them."""
    return isinstance(group, SO3 | O3)


def sphere_rule(samples: int | None, order: int) -> tuple[int, int]:
    """(degree, nodes) of the rule on the sphere: the smallest with so many nodes, by default of degree 6 L + 5."""
    rules = [(degree, len(sphere_nodes(degree)[0])) for degree in sphere_degrees()]
    known = [rule for rule in rules if (rule[0] >= 6 * order + 5 if samples is None else rule[1] >= samples)]
    if not known and samples is not None:
        raise ValueError(
            f"RegularNonlinearity expected samples to be at most {rules[-1][1]} directions of space, got {samples}"
        )
    degree, count = (known or rules[-1:])[0]
    if degree < 2 * order:
        least = next((n for d, n in rules if d >= 2 * order), None)
        raise ValueError(
            "RegularNonlinearity expected "
            + (f"at least {least} samples" if least else f"orders up to {rules[-1][0] // 2}")
            + f" for orders up to L = {order}, got {count}: fewer do not tell the functions apart"
        )
    return degree, count


def _of_irreps(reps: list[Representation], group: Group, samples: int) -> tuple[Tensor, Tensor | None]:
    """Values at the samples from the coefficients of irreps, and the weights of the samples."""
    if group.dim == 2:
        angle = 2 * torch.pi * torch.arange(samples, dtype=torch.float64) / samples
        cos, sin = angle.cos(), angle.sin()
        rotation = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], -2)
        return torch.cat([rep.dim**0.5 * rep(rotation)[:, :, 0] for rep in reps], 1), None
    g, weights = _nodes(group.quotient(_stabiliser(group), max(rep.degree for rep in reps)), samples)
    return torch.cat([rep.dim**0.5 * rep(g) @ _fixed(rep)[0] for rep in reps], 1), weights


def _nodes(rep: Any, samples: int) -> tuple[Tensor, Tensor | None]:
    """Elements (S, d, d) at whose cosets a :class:`BandLimited` representation is sampled, and their weights."""
    group, subgroup = rep.group, rep.subgroup
    if not is_sphere(group):
        return group.quadrature(samples - 1)[0], None
    degree, _ = sphere_rule(samples, 0)
    about = SO2(dim=3).quadrature(6)[0]
    if subgroup is not None and bool(subgroup.contains(about).all()):  # the cosets are directions
        g, weights = frames_at(degree), sphere_nodes(degree)[1]
    else:
        g, weights = rotation_nodes(degree, turns_for(degree))
    nodes, share = torch.from_numpy(g.copy()), torch.from_numpy(weights.copy())
    if isinstance(group, O3) and (subgroup is None or not _improper(subgroup)):
        nodes, share = torch.cat([nodes, -nodes]), torch.cat([share, share]) / 2
    return nodes, share


def _improper(group: Group) -> bool:
    return bool((torch.linalg.det(group.generators) < 0).any())


def _stabiliser(group: Any) -> Group:
    """The subgroup of a group of space that keeps a point: z on the sphere, x on the circle about the axis."""
    if group.dim == 3 and hasattr(group, "axis"):
        return turned(_stabiliser(group.group), group.axis)
    known: dict[Group, Group] = {
        SO3(): SO2(dim=3),
        O3(): Axisymmetric("Cinfv"),
        SO2(dim=3): Trivial(3),
        O2(dim=3): Dihedral(1, dim=3),
        Axisymmetric("Cinfv"): AxialGroup("C1v"),
        Axisymmetric("Cinfh"): Reflection(3),
        Axisymmetric("Dinfh"): AxialGroup("D1h"),
    }
    return known[group]


def _fixed(rep: Representation) -> Tensor:
    """Unit vectors (k, dim) of an irrep that the stabiliser keeps: one of functions, none of others."""
    kept = kept_vectors(rep, _stabiliser(rep.group))
    if is_sphere(rep.group) and kept:  # with the sign of the harmonics of z
        z = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
        return harmonics(z, rep.degree)[:, rep.degree**2 :]
    return torch.tensor(np.array(kept).reshape(len(kept), rep.dim))
