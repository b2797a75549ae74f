"""datasets/vessels: a straight tube has Poiseuille's flow, a turned vessel the turned stress; the files are complete."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("skfem", reason="the flow is solved by scikit-fem: pip install 'gaugenet[vessels]'")
pytest.importorskip("potpourri3d", reason="distances are those of potpourri3d: pip install 'gaugenet[vessels]'")

from datasets.vessels import shapes
from datasets.vessels.__main__ import main
from datasets.vessels.flow import Flow, solve
from datasets.vessels.mesh import disc, vessel_mesh
from datasets.vessels.record import split_of
from datasets.vessels.wall import Wall, wall_shear_stress

LENGTH = 6.0


@lru_cache
def straight(segments: int, spacing: float) -> tuple[Flow, Wall]:
    flow = solve(vessel_mesh(shapes.straight_tube(LENGTH), segments, spacing), 100.0)
    return flow, wall_shear_stress(flow)


def errors(segments: int, spacing: float) -> tuple[float, float, float]:
    """Of the profile, of the pressure drop and of the wall shear stress (root mean square), relative to Poiseuille's."""
    flow, wall = straight(segments, spacing)
    x = flow.basis.doflocs
    exact = 2 * (1 - x[0] ** 2 - x[1] ** 2)
    profile = np.sqrt(((flow.velocity - exact[:, None] * [0, 0, 1]) ** 2).sum() / (exact**2).sum())
    drop = abs(np.ptp(flow.pressure) / (8 * LENGTH) - 1)
    stress = np.sqrt(((wall.wss - [0, 0, 4]) ** 2).sum(1).mean()) / 4
    return float(profile), float(drop), float(stress)


def test_a_straight_tube_gives_poiseuilles_flow():
    """Two parts in a hundred, for all three: u = 2 (1 - r^2), p' = -8, the stress 4 along the flow."""
    assert max(errors(16, 0.6)) < 0.02


def test_errors_fall_with_the_mesh():
    coarse, fine = errors(8, 1.0), errors(16, 0.6)
    assert all(b < 0.5 * a for a, b in zip(coarse, fine))


def narrowed() -> shapes.Vessel:
    """Narrowed on one side: its stress has no symmetry about the axis."""
    return shapes.straight_tube(8.0, (shapes.Lesion(3.0, 1.8, -0.3, eccentricity=0.5, side=0.4),))


@lru_cache
def narrowed_wall(reynolds: float, turned: bool = False) -> Wall:
    vessel = narrowed().turned(TURN) if turned else narrowed()
    return wall_shear_stress(solve(vessel_mesh(vessel, 12, 0.7), reynolds, tolerance=1e-8))


TURN = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()


def test_a_turned_vessel_has_the_turned_stress():
    plain, turned = narrowed_wall(80.0), narrowed_wall(80.0, turned=True)
    np.testing.assert_allclose(turned.vertices, plain.vertices @ TURN.T, atol=1e-12)
    assert np.linalg.norm(turned.wss - plain.wss @ TURN.T) < 1e-6 * np.linalg.norm(plain.wss)


def test_stress_is_tangential_and_along_the_flow():
    wall = straight(16, 0.6)[1]
    radial = wall.vertices[:, :2]
    assert np.abs((wall.wss[:, :2] * radial).sum(1)).max() < 0.01 * 4
    assert wall.wss[:, 2].min() > 0


def test_inertia_changes_the_wake_of_a_stenosis():
    """Without inertia the stress far behind a narrow place is Poiseuille's; at Re 200 a jet leaves a wake of slow fluid."""
    behind = {}
    for reynolds in (0.0, 200.0):
        wall = narrowed_wall(reynolds)
        z = wall.vertices[:, 2]
        behind[reynolds] = wall.wss[(z > 4.0) & (z < 5.5), 2]
    assert abs(behind[0.0].mean() / 4 - 1) < 0.15
    assert behind[200.0].min() < 0.5 * behind[0.0].min()


@pytest.mark.parametrize("seed", range(4))
def test_meshes_of_random_vessels_are_closed_but_for_their_ends(seed):
    vessel = shapes.random_vessel(np.random.default_rng(seed))
    mesh = vessel_mesh(vessel, 12, 0.6)
    assert len(mesh.outlets) == (2 if vessel.forked else 1)
    parts = np.concatenate([mesh.wall, mesh.inlet, *mesh.outlets])
    assert sorted(parts) == sorted(mesh.volume.boundary_facets())
    # Every inner facet has two tetrahedra: three branches hold together, along half discs.
    volume = mesh.volume.mapping().detDF(np.full((3, 1), 0.25))
    assert np.abs(volume).min() > 0
    corners = mesh.volume.facets[:, mesh.wall]
    edges, counts = np.unique(
        np.sort(corners[[[0, 1], [1, 2], [0, 2]]].transpose(0, 2, 1).reshape(-1, 2), 1), axis=0, return_counts=True
    )
    rims = len(mesh.outlets) + 1
    assert (counts == 1).sum() == 12 * rims and counts.max() == 2
    assert len(np.unique(corners)) - len(edges) + len(mesh.wall) == 2 - rims


def test_random_vessels_are_of_both_kinds():
    kinds = {shapes.random_vessel(np.random.default_rng(seed)).kind for seed in range(8)}
    assert kinds == {"tube", "bifurcation"}


def test_what_exists_is_not_computed_again(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--segments", "8", "--spacing", "1.2"]
    main([*arguments, "--count", "1"])
    file = tmp_path / "vessel_0000.npz"
    before = file.stat().st_mtime_ns
    main([*arguments, "--count", "1"])
    assert file.stat().st_mtime_ns == before and "1 of 1 vessels are there" in capsys.readouterr().out
    (facts,) = json.loads((tmp_path / "manifest.json").read_text())["vessels"]
    with np.load(file) as arrays:
        count = facts["vertices"]
        assert arrays["vertices"].shape == arrays["wss"].shape == (count, 3)
        assert arrays["faces"].max() == count - 1 and arrays["distance"].shape == (count,)
        assert arrays["distance"].min() == 0 and 15 < arrays["distance"].max() < 60
        assert np.isclose(arrays["reynolds"], facts["reynolds"], atol=0.01)
    with pytest.raises(SystemExit, match="other settings"):
        main(["--out", str(tmp_path), "--segments", "12", "--count", "1"])


def test_wrong_arguments_are_told():
    with pytest.raises(ValueError, match="multiple of 4"):
        disc(10)
    with pytest.raises(ValueError, match="at least 0"):
        solve(vessel_mesh(shapes.straight_tube(2.0), 8, 1.0), -1.0)


def test_a_flow_that_is_not_found_is_told():
    with pytest.raises(ArithmeticError, match="in 1 iterations"):
        solve(vessel_mesh(narrowed(), 8, 1.0), 200.0, max_iterations=1)


def test_splits():
    splits = [split_of(i) for i in range(300)]
    assert {name: splits.count(name) for name in splits} == {"train": 200, "validation": 25, "test": 75}
