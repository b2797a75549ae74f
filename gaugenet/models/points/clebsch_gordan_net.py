"""The manifold that is one point: vectors of a representation, whose only nonlinearity are Clebsch-Gordan products."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_choice, check_int, check_ints
from ...fields import FieldType, check_field_types
from ...learning import SavedNetwork
from ...nn import FieldNorm, GaugeLinear, TensorProduct
from ...nn.tensor_checks import GraphLike, check_features, count_copies
from ..encoder import hidden_type


class ClebschGordanNet(SavedNetwork):
    r"""Rotation-invariant networks of spherical images in Fourier space (Kondor, Lin & Trivedi 2018, arXiv 1806.09231).

    .. math:: F^{s+1}_l = \sum_{l_1, l_2} C_l(F^s_{l_1}, F^s_{l_2})\, W_{l_1 l_2 l} + F^s_l W_l, \qquad
        \mathrm{logits} = W \big(F^0_0, \ldots, F^S_0\big) + b

    F_l are copies of the irrep l, at first the spectrum of an image on the sphere: features of nodes without edges
    (:func:`gaugenet.geometry.point`), or plain rows. Every layer multiplies each pair of copies by the Clebsch-Gordan
    coefficients and mixes the results; all else is linear. What is invariant of every layer is read by a linear map, so that
    the logits do not change at all when an image is turned: no grid is involved. For any group whose irreps have orders.

    The spectrum is ``SphericalTransform(grid, lmax).analysis(images)`` (:mod:`gaugenet.spectral`), of type "1x0 + 1x1 + ... ".
    :class:`ClebschGordanCNN` has products of local fields on the sphere instead.

    Unlike the publication: a linear term beside the products, which lets weak signals through many layers.

    Args:
        in_type: field type of the input.
        num_classes: number of logits.
        channels: copies of every irrep behind every layer.
        order: largest order of these; by default that of the input.
        norm: "batch" (as published), "layer" or None, see :class:`gaugenet.nn.FieldNorm`; behind the products. In evaluation
            "batch" is linear.

    Shapes:
        x (N, in_type.dim), an example a row; output (N, num_classes). A graph is not needed, and looked at for its size alone.
    """

    def __init__(
        self,
        in_type: FieldType,
        num_classes: int,
        *,
        channels: Sequence[int] = (8, 8, 8),
        order: int | None = None,
        norm: str | None = "batch",
    ) -> None:
        check_field_types(self, in_type=in_type)
        check_int(self, "num_classes", num_classes)
        widths = check_ints(self, "channels", channels)
        check_int(self, "order", 0 if order is None else order, 0)
        check_choice(self, "norm", norm, ("batch", "layer", None))
        super().__init__()
        top = max((rep.degree for _, rep in in_type.blocks), default=0) if order is None else order
        self.in_type, self.channels, self.order = in_type, widths, top
        types = [in_type, *(hidden_type(in_type.group, width, top) for width in widths)]
        self.products = nn.ModuleList(TensorProduct(a, a, b) for a, b in pairwise(types))
        self.linears = nn.ModuleList(GaugeLinear(a, b) for a, b in pairwise(types))
        self.norms = nn.ModuleList(nn.Identity() if norm is None else FieldNorm(b, norm) for b in types[1:])
        scalars = [FieldType(in_type.group, [(mul, rep) for mul, rep in type.blocks if rep.is_trivial]) for type in types]
        self._scalars = [[s for (_, rep), s in zip(type.blocks, type.slices) if rep.is_trivial] for type in types]
        self.head = nn.Linear(sum(type.dim for type in scalars), num_classes)

    def reset_parameters(self) -> None:
        module: Any
        for module in (*self.products, *self.linears, *self.norms, self.head):
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()

    def invariants(self, x: Tensor) -> Tensor:
        """The scalars of the input and behind every layer, side by side: (N, in_type.dim) -> (N, number of them)."""
        found = [x[:, s] for s in self._scalars[0]]
        for product, linear, norm, places in zip(self.products, self.linears, self.norms, self._scalars[1:]):
            x = norm(product(x, x) + linear(x))
            found += [x[:, s] for s in places]
        return torch.cat(found, 1)

    def forward(self, x: Tensor, graph: GraphLike | None = None) -> Tensor:
        check_features(x, self.in_type, self.head.weight, "ClebschGordanNet")
        if graph is not None:
            count_copies(graph, x.shape[0], graph.radius.shape[0], "ClebschGordanNet")
        return self.head(self.invariants(x))
