"""Gradient, divergence, curl and Laplacian of fields: differential operators without weights, and their exact adjoints."""

from __future__ import annotations

import torch
from torch import Tensor

from ...checks import check_choice, check_int
from ...fields import FieldType, check_field_types
from ...groups import Representation
from ...kernels.constants import ConstantModule
from ...kernels.expansion import make_mixing
from ...kernels.quadrature.derivatives import DerivativeColumns, derivative_expansion
from ...ops import BACKENDS, EdgePlan, Kernel, gauge_convolve, kept_plan, make_layout, make_plan
from ...settings import KeepsSettings
from ..graph.gauge_conv import NEEDS
from ..precision import autocast, no_autocast
from ..tensor_checks import GraphLike, check_arrays, check_features, check_graph, check_transport

_SOURCES = (*NEEDS, "area")
_FITS = 1e-9


class DifferentialOperator(KeepsSettings, ConstantModule):
    """Base of the operators: what :class:`gaugenet.kernels.Derivatives` gives, with fixed combinations, by the length.

    Args:
        type: field type of the input, of irreps over a group of the plane; every block has its image.
        degree: of the polynomials of the log map on which the derivatives are exact, 2 or 3; first derivatives are then of
            order h^degree, second ones of h^(degree - 1), at irregular points as well.
        backend: as of :class:`gaugenet.nn.GaugeConv`.

    Attributes:
        out_type: field type of the output.

    Shapes:
        x (N, type.dim), graph as of :class:`gaugenet.nn.GaugeConv`; output (N, out_type.dim), in units of the field over
        that of length (over its square for the Laplacian).

    Raises:
        TypeError: fields that the operator has no meaning for. ValueError: graphs of another dimension.
    """

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __init__(self, type: FieldType, *, degree: int = 3, backend: str = "auto") -> None:
        check_field_types(self, type=type)
        super().__init__()
        self.degree = check_int(self, "degree", degree, 2, 3)
        check_choice(self, "backend", backend, BACKENDS)
        self.backend, self.in_type = backend, type
        self.columns = DerivativeColumns(degree, "length")
        if type.group.dim != 2:
            raise ValueError(f"{self._name} is for surfaces, over groups of the plane, got {type.group}")
        images = [self._image(rep) for _, rep in type.blocks]
        self.out_type = FieldType(type.group, [(mul, rep) for (mul, _), (rep, _) in zip(type.blocks, images)])
        expansion = derivative_expansion(type, self.out_type, self.columns).double()
        weight = torch.zeros(expansion.num_weights, dtype=torch.float64, device="cpu")
        for i, o, start, stop in expansion.paths:
            if i == o:
                mul, rep = type.blocks[i]
                weight[start:stop] = self._weights(rep, *images[i], mul)
        mixing = make_mixing(expansion, None)
        mixed = (mixing.double() if isinstance(mixing, torch.nn.Module) else mixing).of([weight])
        for transposed in (False, True):
            self.register_constant(f"mixed{int(transposed)}", mixed(transposed))
        self.layouts = make_layout(expansion, None, False), make_layout(expansion, None, True)

    def _image(self, rep: Representation) -> tuple[Representation, Tensor]:
        """The irrep that a block becomes, and the matrices that do it: (5, dim_in, dim_out)."""
        raise NotImplementedError

    def _weights(self, rep: Representation, image: Representation, matrices: Tensor, mul: int) -> Tensor:
        """In the basis of the kernels between the two, for each of ``mul`` copies."""
        alone = FieldType(rep.group, [(1, rep)]), FieldType(rep.group, [(1, image)])
        one = derivative_expansion(*alone, self.columns).double()
        spread = torch.stack([one(row).flatten() for row in torch.eye(one.num_weights, dtype=torch.float64, device="cpu")], 1)
        found = torch.linalg.lstsq(spread, matrices.double().flatten()[:, None]).solution[:, 0]
        if (spread @ found - matrices.double().flatten()).abs().max() > _FITS:
            self._refuse(rep)
        return torch.einsum("k,mn->kmn", found, torch.eye(mul, dtype=torch.float64, device="cpu")).flatten()

    def _refuse(self, rep: Representation) -> None:
        raise TypeError(
            f"{self._name} expected a type of fields that it has an equivariant form for, got {rep!r} over {rep.group}"
        )

    def _order(self, rep: Representation) -> int:
        """Of an irrep that is a function on the circle, cos and sin of the angle times the order."""
        name = rep.name
        if name not in rep.group.irrep_names(rep.degree) or rep.dim != (1 if rep.degree == 0 else 2):
            raise TypeError(
                f"{self._name} expected a type of irreps of orders 0, 1, 2, ... with two components from 1 on, got {rep!r} "
                f"over {rep.group}"
            )
        return rep.degree

    def _irrep(self, rep: Representation, order: int, sign: str = "") -> Representation:
        group = rep.group
        name = f"{order}{sign if group.canonical_name('0-') else ''}"
        if group.canonical_name(name) is None or group.irrep_dim(name) != (1 if order == 0 else 2):
            raise TypeError(f"{self._name} of {rep!r} would have order {order}, which {group} does not have as a pair")
        return group.irrep(name)

    def plan(self, graph: GraphLike) -> EdgePlan:
        """The derivatives at every node: made once for a graph, which keeps it; the operators share it."""
        key = "conv", self.in_type.group, self.columns.key
        return kept_plan(graph, key, _SOURCES, lambda: self._make_plan(graph))

    def _make_plan(self, graph: GraphLike) -> EdgePlan:
        name, group = self._name, self.in_type.group
        with no_autocast(graph.transport):  # geometry keeps its precision
            check_arrays(graph, group.dim, name)
            check_transport(group, graph.transport, name)
            table = self.columns.table(graph, name)
            return make_plan(graph.edge_index, graph.transport, *table, self.columns, group)

    def forward(self, x: Tensor, graph: GraphLike, plan: EdgePlan | None = None) -> Tensor:
        name = self._name
        check_features(x, self.in_type, None, name)
        check_graph(graph, NEEDS, x.shape[0], x.device, name)
        plan = self.plan(graph) if plan is None else plan
        x = autocast(x)
        kernel = Kernel(self.in_type, self.layouts, lambda back: self.constant(f"mixed{int(back)}", x), False, None)
        return gauge_convolve(x, kernel, plan, self.backend)

    def adjoint(self, y: Tensor, graph: GraphLike) -> Tensor:
        r"""The operator with :math:`\langle D f, y \rangle = \langle f, D^* y \rangle`, inner products weighted by the areas.

        It is the transposed matrix, exactly: :math:`D^* = A^{-1} D^T A`. That of the gradient is minus a divergence that is
        zero in the mean over a closed surface; :math:`-D^* D` is a symmetric Laplacian.

        Args:
            y: (N, out_type.dim). graph: with ``area`` (N,), or all nodes count the same.

        Returns:
            (N, type.dim).
        """
        check_features(y, self.out_type, None, self._name)
        area = getattr(graph, "area", None)
        area = y.new_ones(len(y), 1) if area is None else area.to(y)[:, None]
        plan, x = self.plan(graph), y.new_zeros(len(y), self.in_type.dim)
        return torch.func.vjp(lambda f: self(f, graph, plan), x)[1](area * y)[0] / area

    def extra_repr(self) -> str:
        return f"{self.in_type} -> {self.out_type}, degree={self.degree}"


class Gradient(DifferentialOperator):
    r"""Gradients: order n to n + 1.

    Scalars: :math:`(\partial_x f, \partial_y f)`, order 1. Vectors: the traceless symmetric part of :math:`\nabla v` as order
    2, :math:`\tfrac12 (\partial_x v_x - \partial_y v_y,\ \partial_x v_y + \partial_y v_x)`, in the components of
    :func:`gaugenet.geometry.to_frames`. Order n > 1 likewise, with complex f: :math:`\tfrac12 (\partial_x + i \partial_y) f`.
    (The operator eth of Newman & Penrose 1966; DeltaConv, Wiersma et al. 2022, arXiv 2111.08799, section 4.)
    """

    def _image(self, rep: Representation) -> tuple[Representation, Tensor]:
        order = self._order(rep)
        sign = "-" if rep.name == "0-" else ""
        if sign:
            self._refuse(rep)
        w = torch.zeros(5, rep.dim, 2, device="cpu")
        if order == 0:
            w[1, 0, 0] = w[2, 0, 1] = 1
        else:
            w[1, 0, 0] = w[1, 1, 1] = w[2, 0, 1] = 0.5
            w[2, 1, 0] = -0.5
        return self._irrep(rep, order + 1), w


class Divergence(DifferentialOperator):
    r"""Divergences: order n to n - 1.

    Vectors: :math:`\partial_x v_x + \partial_y v_y`. Traceless symmetric tensors (a, b) of order 2:
    :math:`(\partial_x a + \partial_y b,\ \partial_x b - \partial_y a)`, order 1. Order n likewise, with complex f:
    :math:`(\partial_x - i \partial_y) f`.
    """

    def _image(self, rep: Representation) -> tuple[Representation, Tensor]:
        order = self._order(rep)
        if order == 0:
            self._refuse(rep)
        w = torch.zeros(5, 2, 1 if order == 1 else 2, device="cpu")
        w[1, 0, 0] = w[2, 1, 0] = 1
        if order > 1:
            w[1, 1, 1], w[2, 0, 1] = 1, -1
        return self._irrep(rep, order - 1), w


class Curl(DifferentialOperator):
    r"""Vectors to :math:`\partial_x v_y - \partial_y v_x`, scalars to :math:`(-\partial_y f, \partial_x f)`.

    Reflections change the sign of a curl: over O(2) and D_N it leads from order 1 to "0-" and back; scalars "0" have none.
    """

    def _image(self, rep: Representation) -> tuple[Representation, Tensor]:
        order = self._order(rep)
        if order > 1:
            self._refuse(rep)
        w = torch.zeros(5, rep.dim, 2 if order == 0 else 1, device="cpu")
        if order == 0:
            w[2, 0, 0], w[1, 0, 1] = -1, 1
            return self._irrep(rep, 1), w
        w[1, 1, 0], w[2, 0, 0] = 1, -1
        return self._irrep(rep, 0, "-"), w


class Laplacian(DifferentialOperator):
    r"""The Laplacian of the connection, :math:`\sum_i \nabla_i \nabla_i f = -\nabla^* \nabla f`, order by order.

    Not positive: of a plane wave it is -|k|^2 times the wave. On the unit sphere the harmonics of degree l and spin n have
    the eigenvalue :math:`-(l (l + 1) - n^2)`.
    """

    def _image(self, rep: Representation) -> tuple[Representation, Tensor]:
        self._order(rep)
        w = torch.zeros(5, rep.dim, rep.dim, device="cpu")
        w[0] = torch.eye(rep.dim)
        return rep, w
