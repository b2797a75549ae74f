"""Structure groups: closed subgroups of O(d), given by matrices."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import lru_cache
from numbers import Integral

import numpy as np
import torch

from ..checks import check_int
from .constants import constant_of
from .representation import Induced, Irrep, Permutation, Representation, Standard


class Group:
    """A compact group G of orthogonal d x d matrices. Subclasses are frozen dataclasses: values, compared by type and
    parameters.

    A new group says what its generators are and names its irreps (`irrep_names`, `canonical_name`, `irrep_dim`, `irrep_degree`,
    `irrep_matrix`); everything else follows.

    Attributes:
        dim: d.
        order: the number of elements, None when infinite.
        elements: (order, d, d) float64, the identity first; ValueError when infinite.
        generators: (k, d, d) float64, discrete generators (with `lie_generators` they generate G).
        lie_generators: (m, d, d) float64, a basis of the Lie algebra; empty when finite.
        reflects: of groups of the plane, whether reflections belong to the group.
    """

    dim: int
    reflects: bool

    @property
    def order(self) -> int | None:
        return None

    @property
    def elements(self) -> torch.Tensor:
        raise ValueError(f"{self} is infinite: it has no list of elements; use sample(n), or a finite subgroup")

    @property
    def generators(self) -> torch.Tensor:
        return torch.zeros(0, self.dim, self.dim, dtype=torch.float64, device="cpu")

    @property
    def lie_generators(self) -> torch.Tensor:
        return torch.zeros(0, self.dim, self.dim, dtype=torch.float64, device="cpu")

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        """n elements drawn uniformly (Haar measure), (n, d, d)."""
        raise NotImplementedError

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        """Whether each matrix of g (..., d, d) lies in G up to `tol` (largest entry), a bool tensor (...)."""
        raise NotImplementedError

    def nearest(self, g: torch.Tensor, tol: float) -> torch.Tensor:
        """Index (...) of the element nearest to each matrix (..., d, d). ValueError when one is farther than `tol`
        (Frobenius), and when G is infinite."""
        raise ValueError(f"{self} is infinite: its elements have no numbers; use a finite subgroup")

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Elements (Q, d, d) and weights (Q,), float64, whose sum is the Haar average, exactly, of functions of degree <=
        `degree`."""
        raise NotImplementedError

    # Irreps: by name.

    def irrep_names(self, max_order: int | None = None) -> tuple[str, ...]:
        """Names of the irreps of order <= `max_order` (None: all, for finite groups; else ValueError)."""
        raise NotImplementedError

    def _top(self, max_order: int | None, last: int | None = None) -> int:
        """The smaller of `max_order` and the group's own last order, where there is one."""
        if max_order is None and last is None:
            raise ValueError(f"{self} has infinitely many irreps: give max_order")
        return min(order for order in (max_order, last) if order is not None)

    def canonical_name(self, name: str | int) -> str | None:
        """The name under which the irrep is kept, None when there is no such irrep."""
        raise NotImplementedError

    def irrep_dim(self, name: str) -> int:
        raise NotImplementedError

    def irrep_degree(self, name: str) -> int:
        raise NotImplementedError

    def irrep_matrix(self, name: str, g: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    def irrep(self, name: str | int) -> Representation:
        """The irrep of that name or order. ValueError when there is none, with the names that exist."""
        if isinstance(name, bool) or not isinstance(name, (str, Integral)):
            raise TypeError(f"an irrep of {self} is named by a string or an order, got {name!r}")
        canonical = self.canonical_name(name.strip() if isinstance(name, str) else int(name))
        if canonical is None:
            known = ", ".join(repr(n) for n in self.irrep_names(None if self.order else 3))
            raise ValueError(f"{self} has no irrep {name!r}; it has {known}{'' if self.order else ', ... of every order'}")
        return Irrep(self, canonical)

    def irreps(self, max_order: int | None = None) -> tuple[Representation, ...]:
        """All irreps of order <= `max_order`; a finite group may leave it out. ValueError for an infinite group without it."""
        return tuple(Irrep(self, name) for name in self.irrep_names(max_order))

    def representation(self, name: str | int) -> Representation:
        """By name: "regular", "trivial", "standard", "regular(2)" (of an infinite group, up to that order), or an irrep."""
        special = name.strip() if isinstance(name, str) else name
        if special in ("regular", "trivial", "standard"):
            return getattr(self, special)
        if isinstance(special, str) and self.order is None and (match := re.fullmatch(r"regular\((\d+)\)", special)):
            return self._functions(None, int(match[1]))
        return self.irrep(name)

    @property
    def trivial(self) -> Representation:
        """The one-dimensional representation by ones: scalars."""
        return Irrep(self, self.irrep_names(0)[0])

    @property
    def standard(self) -> Representation:
        """The defining representation rho(g) = g: tangent vectors."""
        return Standard(self)

    @property
    def regular(self) -> Representation:
        """G permuting its own elements; basis in the order of `elements`. ValueError when G is infinite."""
        raise ValueError(
            f"the regular representation of {self} is infinite-dimensional: take its band-limited form, "
            'representation("regular(2)"), which regular nonlinearities sample, or a finite subgroup such as Cyclic(n)'
        )

    def quotient(self, subgroup: Group, max_order: int | None = None) -> Representation:
        """The functions on the cosets gH of a closed subgroup H.

        Of a finite group: G permuting the cosets, in the order of their first elements. Of an infinite one: those with
        frequencies up to ``max_order``, :class:`gaugenet.groups.BandLimited` (SO(3)/SO(2): functions on the sphere).

        Raises:
            ValueError: H is not in G; an infinite group without ``max_order``, a finite one with it.
        """
        self.check_subgroup(subgroup)
        if max_order is None:
            raise ValueError(
                f"{self} is infinite: permutations of cosets exist for finite groups only; give max_order, for the functions "
                "on the cosets up to an order"
            )
        return self._functions(None if subgroup.order == 1 else subgroup, check_int(self, "max_order", max_order, 0))

    def _functions(self, subgroup: Group | None, max_order: int) -> Representation:
        from .band_limited import BandLimited  # which is made of groups

        return BandLimited(self, subgroup, max_order)

    # Checks.

    def check_lie(self, x: torch.Tensor) -> None:
        """ValueError unless x (d, d) is in the Lie algebra."""
        d = self.dim
        if x.shape != (d, d):
            raise ValueError(f"the Lie algebra of {self} consists of {d} x {d} matrices, got shape {tuple(x.shape)}")
        basis = self.lie_generators.reshape(-1, d * d)
        flat = x.detach().to("cpu", torch.float64).reshape(-1)
        inside = basis.T @ torch.linalg.lstsq(basis.T, flat[:, None]).solution[:, 0] if len(basis) else torch.zeros_like(flat)
        if (flat - inside).abs().max() > 1e-5 * max(1.0, float(flat.abs().max())):
            raise ValueError(f"the matrix is not in the Lie algebra of {self} (dimension {len(basis)}): {x.tolist()}")

    def check_subgroup(self, subgroup: Group) -> None:
        """ValueError unless every generator of `subgroup` lies in this group."""
        if not isinstance(subgroup, Group):
            raise TypeError(f"expected a group, got {type(subgroup).__name__}")
        inside = subgroup.dim == self.dim
        if inside:
            curves = torch.linalg.matrix_exp(0.7 * subgroup.lie_generators)
            inside = bool(self.contains(torch.cat([subgroup.generators, curves])).all())
        if not inside:
            raise ValueError(f"{subgroup} is not a subgroup of {self}")

    def __repr__(self) -> str:
        shown = [(f.name, getattr(self, f.name), f.default) for f in fields(self)]  # type: ignore[arg-type]  # subclasses are dataclasses
        values = [repr(v) if i == 0 else f"{n}={v!r}" for i, (n, v, default) in enumerate(shown) if v != default]
        return f"{type(self).__name__}({', '.join(values)})"

    __str__ = __repr__


class FiniteGroup(Group):
    """A finite group of orthogonal matrices; the elements are the closure of its generators unless `_make_elements` lists
    them."""

    @property
    def order(self) -> int:
        return _order(self)

    @property
    def elements(self) -> torch.Tensor:
        return _elements_tensor(self)

    def _make_elements(self) -> np.ndarray:
        return closure(self.generators.numpy(), self.dim)

    def sample(self, n: int, generator: torch.Generator | None = None, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return self.elements[torch.randint(self.order, (n,), generator=generator, device="cpu")].to(dtype)

    def contains(self, g: torch.Tensor, tol: float = 1e-6) -> torch.Tensor:
        elements = self.elements.to(g)
        closest = elements[_nearest(g, elements)]
        return (g - closest).abs().amax((-2, -1)) <= tol

    def nearest(self, g: torch.Tensor, tol: float) -> torch.Tensor:
        """Index (...) of the element nearest to each matrix (..., d, d). ValueError when one is farther than `tol`
        (Frobenius)."""
        elements = self.elements.to(g)
        index = _nearest(g, elements)
        if g.numel() and not g.is_meta and not torch.compiler.is_compiling():
            far = torch.linalg.vector_norm(g.detach() - elements[index], dim=(-2, -1))
            worst = float(far.max())
            if not worst <= tol:
                example = g.reshape(-1, self.dim, self.dim)[int(torch.nan_to_num(far, nan=torch.inf).argmax())].tolist()
                raise ValueError(
                    f"not an element of {self}: {example} lies {worst:.3g} from the nearest one (tolerance {tol:g})"
                )
        return index

    def quadrature(self, degree: int) -> tuple[torch.Tensor, torch.Tensor]:
        elements = self.elements
        return elements, torch.full((len(elements),), 1 / len(elements), dtype=torch.float64, device="cpu")

    @property
    def regular(self) -> Representation:
        return Permutation(self)

    def quotient(self, subgroup: Group, max_order: int | None = None) -> Representation:
        self.check_subgroup(subgroup)
        if max_order is not None:
            raise ValueError(f"{self} is finite: max_order is for infinite groups, got {max_order!r}")
        return Permutation(self, subgroup)

    def induced(self, rep: Representation) -> Representation:
        """The representation that one of a finite subgroup induces. ValueError when its group is no such subgroup."""
        if not isinstance(rep, Representation):
            raise TypeError(f"expected a representation of a subgroup of {self}, got {rep!r}")
        if rep.group.order is None:
            raise ValueError(f"{rep.group} is no subgroup of the finite group {self}")
        self.check_subgroup(rep.group)
        return Induced(self, rep)

    def coset_table(self, subgroup: Group | None) -> torch.Tensor:
        """(order, cosets) int64: the coset onto which each element moves each coset; with no subgroup, the multiplication
        table."""
        return _coset_tensor(self, subgroup)


@lru_cache(maxsize=256)
def _elements(group: FiniteGroup) -> np.ndarray:
    elements = group._make_elements()
    elements.setflags(write=False)
    return elements


@lru_cache(maxsize=256)
def _coset_table(group: FiniteGroup, subgroup: Group | None) -> np.ndarray:
    elements = group.elements
    product = _nearest(elements[:, None] @ elements, elements).numpy()
    if subgroup is None:
        table = product
    else:
        members = _nearest(subgroup.elements, elements).numpy()
        smallest = product[:, members].min(1)  # names the coset of each element by its first element
        first, coset = np.unique(smallest, return_inverse=True)
        table = coset[product[:, first]]
    table.setflags(write=False)
    return table


def _nearest(g: torch.Tensor, elements: torch.Tensor) -> torch.Tensor:
    # Orthogonal matrices all have the same norm, so the nearest element has the largest inner product.
    return (g.detach().flatten(-2) @ elements.flatten(-2).T).argmax(-1)


def closure(generators: np.ndarray, dim: int, limit: int = 10_000) -> np.ndarray:
    """All products of the generators (k, d, d), the identity first, in breadth-first order: (order, d, d).

    ValueError when there are more than `limit`: the matrices do not generate a finite group.
    """
    elements = np.eye(dim)[None].repeat(limit + 1, 0)
    count = done = 1
    new = elements[:1]
    while len(new):
        for product in (generators @ new[:, None]).reshape(-1, dim, dim):
            product = 1.5 * product - 0.5 * product @ product.T @ product  # back to orthogonal: rounding must not pile up
            product[np.abs(product) < 1e-12] = 0.0
            if np.abs(elements[:count] - product).max((1, 2)).min() > 1e-6:
                if count == limit:
                    raise ValueError(f"the generators make more than {limit} elements: not a finite group")
                elements[count] = product
                count += 1
        new, done = elements[done:count], count
    return elements[:count].copy()


@torch.compiler.assume_constant_result  # torch.compile must not trace how the elements were found
def _order(group: FiniteGroup) -> int:
    return len(_elements(group))


_elements_tensor, _coset_tensor = constant_of(_elements), constant_of(_coset_table)
