"""Steady Navier-Stokes flow in a vessel: Taylor-Hood elements (P2-P1), Picard iteration, preconditioned GMRES.

Lengths are in radii a of the inlet, velocities in mean velocities U at the inlet, pressures and stresses in mu U / a. With the
Reynolds number Re = 2 rho U a / mu,

.. math:: \\tfrac12 Re\\, u\\cdot\\nabla u - \\Delta u + \\nabla p = 0, \\qquad \\nabla\\cdot u = 0.

Poiseuille's profile flows in, the wall does not slip, and (grad u - p) n = 0 at the outlets.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, gmres, splu
from skfem import Basis, BilinearForm, ElementTetP1, ElementTetP2
from skfem.helpers import dot, grad

from .mesh import VesselMesh

Array = NDArray[np.float64]


# Part of the first residual from which on Newton's method is used.
_NEAR = 0.1


@dataclass(frozen=True)
class Flow:
    """A solution at the nodes of degree 2 (velocity, (N, 3)) and at the vertices (pressure, (V,)), and how it was found."""

    mesh: VesselMesh
    reynolds: float
    velocity: Array
    pressure: Array
    basis: Basis
    residual: float
    iterations: int
    krylov: int
    seconds: float


@BilinearForm
def _stiffness(u, v, w):
    return dot(grad(u), grad(v))


@BilinearForm
def _convection(u, v, w):
    return (w["x_"] * grad(u)[0] + w["y_"] * grad(u)[1] + w["z_"] * grad(u)[2]) * v


@BilinearForm
def _reaction(u, v, w):
    return w["slope"] * u * v


@BilinearForm
def _mass(u, v, w):
    return u * v


def _derivative(axis: int) -> BilinearForm:
    return BilinearForm(lambda u, q, w: -grad(u)[axis] * q)


def solve(
    mesh: VesselMesh,
    reynolds: float,
    *,
    tolerance: float = 1e-5,
    max_iterations: int = 60,
) -> Flow:
    """The flow at a Reynolds number (of the inlet's diameter and mean velocity).

    Picard steps until the residual is a tenth of the first, then Newton steps, all preconditioned as Picard steps: the momentum
    block is the same matrix three times, factorised once; the Schur complement is approximated by least-squares commutators
    (Elman et al. 2006). Every linear system is solved to a hundredth of its right-hand side.

    Args:
        tolerance: of the residual of the nonlinear equations, relative to that of the start.

    Raises:
        ValueError: a negative Reynolds number.
        ArithmeticError: no convergence within ``max_iterations``.
    """
    if not reynolds >= 0:
        raise ValueError(f"solve expected a Reynolds number of at least 0, got {reynolds}")
    begin = time.process_time()
    basis = Basis(mesh.volume, ElementTetP2(), intorder=4)
    pressures = basis.with_element(ElementTetP1())
    count, unknown_pressures = basis.N, pressures.N
    stiffness = _stiffness.assemble(basis).tocsr()
    mass = _mass.assemble(basis).diagonal()
    divergence = [_derivative(k).assemble(basis, pressures).tocsr() for k in range(3)]

    inner = np.ones(count, bool)
    velocity = np.zeros((count, 3))
    fixed = {name: basis.get_dofs(facets).all() for name, facets in (("inlet", mesh.inlet), ("wall", mesh.wall))}
    velocity[fixed["inlet"]] = poiseuille(mesh, basis.doflocs[:, fixed["inlet"]].T)
    velocity[fixed["wall"]] = 0
    inner[fixed["inlet"]] = inner[fixed["wall"]] = False
    pressure = np.zeros(unknown_pressures)

    own = [d[:, inner] for d in divergence]
    scale = 1 / mass[inner]
    laplace = splu(sum(d @ sparse.diags(scale) @ d.T for d in own).tocsc())
    size, first, iterations, krylov = int(inner.sum()), None, 0, 0
    while True:
        momentum = stiffness
        if reynolds > 0:
            wind = {f"{name}_": basis.interpolate(velocity[:, k]) for k, name in enumerate("xyz")}
            momentum = stiffness + (0.5 * reynolds) * _convection.assemble(basis, **wind).tocsr()
        rest = [-(momentum @ velocity[:, k] + divergence[k].T @ pressure)[inner] for k in range(3)]
        rest = np.concatenate([*rest, -sum(divergence[k] @ velocity[:, k] for k in range(3))])
        norm = float(np.linalg.norm(rest))
        first = norm if first is None else first
        if norm <= tolerance * first:
            break
        if iterations == max_iterations:
            raise ArithmeticError(f"solve expected convergence in {iterations} iterations, the residual is {norm / first:.1e}")
        iterations += 1
        block = momentum[inner][:, inner].tocsc()
        factors = splu(block, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.1, options={"SymmetricMode": True})

        reaction = []
        if reynolds > 0 and norm < _NEAR * first:
            slopes = [grad(wind[f"{name}_"]) for name in "xyz"]
            reaction = [
                [_reaction.assemble(basis, slope=slopes[i][j]).tocsr()[inner][:, inner] for j in range(3)] for i in range(3)
            ]

        def operate(x: Array, block=block, reaction=reaction) -> Array:
            u, p = x[: 3 * size].reshape(3, size), x[3 * size :]
            moved = [block @ u[k] + own[k].T @ p for k in range(3)]
            for i, row in enumerate(reaction):
                moved[i] = moved[i] + 0.5 * reynolds * sum(part @ u[j] for j, part in enumerate(row))
            return np.concatenate([*moved, sum(own[k] @ u[k] for k in range(3))])

        def approximate(x: Array, block=block, factors=factors) -> Array:
            u, p = x[: 3 * size].reshape(3, size), x[3 * size :]
            q = laplace.solve(p)
            q = sum(own[k] @ (scale * (block @ (scale * (own[k].T @ q)))) for k in range(3))
            q = -laplace.solve(q)
            rhs = np.stack([u[k] - own[k].T @ q for k in range(3)], 1)
            return np.concatenate([factors.solve(rhs).T.ravel(), q])

        total = 3 * size + unknown_pressures
        steps: list[float] = []
        shape = (total, total)
        operators = LinearOperator(shape, operate, dtype=float), LinearOperator(shape, approximate, dtype=float)
        options = {"rtol": 1e-2, "restart": 100, "maxiter": 3, "callback_type": "pr_norm", "callback": steps.append}
        update, _ = gmres(operators[0], rest, M=operators[1], **options)
        krylov += len(steps)
        velocity[inner] += update[: 3 * size].reshape(3, size).T
        pressure = pressure + update[3 * size :]
    return Flow(mesh, reynolds, velocity, pressure, basis, norm / first, iterations, krylov, time.process_time() - begin)


def poiseuille(mesh: VesselMesh, points: Array) -> Array:
    """Velocities (N, 3) of mean 1 at points of the inlet: the parabola 2 (1 - r^2)."""
    centre, along = mesh.vessel.inlet
    return 2 * (1 - ((points - centre) ** 2).sum(1))[:, None] * along
