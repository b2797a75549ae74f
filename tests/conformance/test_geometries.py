"""What every maker of a geometry must do."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch

from gaugenet import FieldType, geometry, groups, kernels
from gaugenet.geometry import LocalGeometry
from gaugenet.nn import GaugeConv, LatticeConv
from gaugenet.testing import equivariance_error, symmetry_error
from tests.helpers.meshes import bumpy, cube, torus
from tests.helpers.networks import randomise

SO2, O2, ONE, FLIP, C4, C6 = (
    groups.SO2(), groups.O2(), groups.Trivial(), groups.Reflection(), groups.Cyclic(4), groups.Cyclic(6),
)  # fmt: skip


def _points() -> np.ndarray:
    return geometry.fibonacci_points(60)


def _cloud(d: int) -> np.ndarray:
    return np.random.default_rng(0).random((40, d))


def _crossed() -> LocalGeometry:
    geom = geometry.mesh(*torus(12, 8), rings=1)
    return geometry.cyclic_structure(geom, geometry.smooth_field(geom, n=4))


def _hierarchy() -> LocalGeometry:
    return geometry.mesh(*bumpy(2), rings=1, levels=1)


# name of the maker: cases of (what it is made with, the structure group)
MAKERS = {
    "mesh": [
        (lambda: geometry.mesh(*bumpy(2), rings=2), SO2),
        (_hierarchy, SO2),
        (lambda: geometry.mesh(*cube(3), rings=1), SO2),
    ],
    "sphere": [(lambda: geometry.sphere(_points(), count=8), SO2)],
    "icosphere": [
        (lambda: geometry.icosphere(1, rings=2), SO2),
        (lambda: geometry.icosphere(1, rings=1, structure="e"), ONE),
        (lambda: geometry.icosphere(2, rings=1, levels=2), SO2),
    ],
    "fibonacci_sphere": [(lambda: geometry.fibonacci_sphere(60, count=8), SO2)],
    "healpix": [(lambda: geometry.healpix(2, rings=1, levels=1), SO2)],
    "latlon": [(lambda: geometry.latlon(6, 12, count=8), SO2)],
    "icosahedron": [(lambda: geometry.icosahedron(1, levels=1), C6)],
    "cyclic_structure": [(_crossed, C4)],
    "point_cloud": [(lambda: geometry.point_cloud(_points(), k=12), SO2)],
    "hyperbolic_plane": [(lambda: geometry.hyperbolic_plane(geometry.hyperbolic_points(60, 1.5)), SO2)],
    "points": [
        (lambda: geometry.points(_points(), neighbours=8), groups.SO3()),
        (lambda: geometry.points(_cloud(3), radius=0.4, box=1.0, weight="sum"), groups.O3()),
        (lambda: geometry.points(_cloud(2), radius=0.4, area=np.full(40, 1 / 40)), O2),
    ],
    "point": [(lambda: geometry.point(4), groups.SO3())],
    "grid": [
        (lambda: geometry.grid((3, 4), 3), C4),
        (lambda: geometry.grid((3, 3, 3), 3), groups.SO3()),
        (lambda: geometry.grid((6, 8), 3, periodic=True, levels=1), ONE),
    ],
    "hexagonal": [(lambda: geometry.hexagonal((4, 5)), C6)],
    "cylinder": [(lambda: geometry.cylinder(3, 5), ONE)],
    "flat_torus": [(lambda: geometry.flat_torus(4, 5), O2)],
    "lie_group": [
        (lambda: geometry.lie_group("T2", geometry.lift_image("T2", (5, 5)), neighbours=8), ONE),
        (lambda: geometry.lie_group("SE2", geometry.lift_image("SE2", (4, 4), 4), 1.5, alpha=0.3, levels=2), groups.Trivial(3)),
        (lambda: geometry.lie_group("R2xR+", geometry.lift_image("R2xR+", (4, 4), 3), 1.5), groups.Trivial(3)),
        (lambda: geometry.lie_group("SO3", geometry.lift_points("SO3", _points(), 2), neighbours=8), groups.Trivial(3)),
        (lambda: geometry.lie_group("SO2", geometry.lift_image("SO2", (5, 5)), neighbours=8, levels=1), groups.Trivial(1)),
        (lambda: geometry.lie_group("SE3", geometry.lift_points("SE3", _points(), 2), neighbours=8), groups.Trivial(6)),
    ],
    "moebius": [(lambda: geometry.moebius(4, 6, levels=1), FLIP)],
    "klein_bottle": [(lambda: geometry.klein_bottle(4, 6), FLIP)],
}
#: public names of geometry that make no LocalGeometry of their own from parameters
OTHERS = {
    "Feature", "LocalGeometry", "Pooling", "ProcessParams", "DirectionField",
    "load_mesh", "check_mesh", "inspect_mesh", "repair_mesh", "find_meshes", "preprocess", "process_one",
    "hyperbolic_points", "to_frames", "from_frames",
    "fibonacci_points", "healpix_centers", "healpix_neighbours", "healpix_parents", "nest_to_ring", "ring_to_nest",
    "latlon_nodes", "latlon_rings", "icosahedron_symmetries", "moebius_symmetries",
    "LieGroup", "Lift", "lift_image", "lift_points",
    "build_hierarchy", "compute_features", "smooth_field", "TriangleMesh", "mirror",
    "save_fields", "from_xarray", "to_xarray", "from_healpix", "to_healpix",
}  # fmt: skip
CASES = [pytest.param(make, group, id=f"{name}-{k}") for name, cases in MAKERS.items() for k, (make, group) in enumerate(cases)]
every = pytest.mark.parametrize(("make", "group"), CASES)
# of the log map: polar ones are for the plane and space
KERNELS = {dim: kernels.MLP(4, 5) if dim not in (2, 3) else kernels.Polar(2) for dim in range(1, 7)}
ARRAYS = (
    "edge_index",
    "log",
    "transport",
    "weight",
    "radius",
    "positions",
    "frame",
    "area",
    "curvature",
    "faces",
    "cone_angle",
    "orbit",
)


def same(a: LocalGeometry, b: LocalGeometry, tolerance: float = 0.0) -> bool:
    for one, other in zip(a.levels(), b.levels(), strict=True):
        for name in ARRAYS:
            x, y = getattr(one, name), getattr(other, name)
            if (x is None) != (y is None) or (x is not None and not np.allclose(x, y, rtol=tolerance, atol=tolerance)):
                return False
    return True


def gauge(count: int, group, seed: int = 0) -> np.ndarray:
    return group.sample(count, generator=torch.Generator().manual_seed(seed)).numpy()


def test_registry_is_complete():
    public = set(geometry.__all__)
    known = set(MAKERS) | OTHERS
    assert public == known, f"not tested: {public - known}; not public: {known - public}"


@every
def test_keeps_the_conventions(make, group):
    geom = make().validate()
    for level in geom.levels():
        source, target = level.edge_index
        assert level.edge_index.dtype == np.int64 and (source != target).all()
        assert (np.diff(target) >= 0).all() and (np.diff(source)[np.diff(target) == 0] > 0).all()
        assert all(np.asarray(getattr(level, n)).dtype == np.float64 for n in ("log", "transport", "weight", "radius"))
        assert group.contains(torch.from_numpy(level.transport)).all()
        assert (np.linalg.norm(level.log, axis=1) <= level.radius[target] * (1 + 1e-9)).all()


@every
def test_is_the_same_every_time_and_copies(make, group, tmp_path):
    geom = make()
    assert same(geom, make())
    for twin in (copy.deepcopy(geom), pickle.loads(pickle.dumps(geom))):
        assert same(geom, twin) and twin.metadata == geom.metadata
    geom.save(tmp_path / "record.safetensors")
    assert same(geom, LocalGeometry.load(tmp_path / "record.safetensors"), 1e-5)
    assert repr(geom).startswith("LocalGeometry(") and str(geom.num_nodes) in repr(geom)


@every
def test_frames_change_and_change_back(make, group):
    geom = make()
    h = gauge(geom.num_nodes, group)
    other = geom.gauge_transform(h).validate()
    assert same(other.gauge_transform(np.swapaxes(h, 1, 2)), geom, 1e-12)
    with pytest.raises(ValueError, match="shape"):
        geom.gauge_transform(h[:-1])


@every
def test_graphs_keep_the_precision(make, group, dtype):
    graph = make().to_graph(dtype)
    for key, value in graph.to_dict().items():
        assert not torch.is_tensor(value) or not value.is_floating_point() or value.dtype == dtype, key
    types = FieldType(group, "2x0"), FieldType(group, "1x0")
    conv = randomise(GaugeConv(*types, kernel=KERNELS[group.dim])).to(dtype)
    assert conv(torch.ones(graph.num_nodes, 2, dtype=dtype), graph).dtype == dtype


@every
def test_convolution_on_it_is_gauge_equivariant(make, group):
    tangent = "2x0" if group.order == 1 else {FLIP: "1x0 + 1x0-"}.get(group, "1x0 + 1x1")
    in_type = FieldType(group, tangent)
    conv = randomise(GaugeConv(in_type, in_type, kernel=KERNELS[group.dim])).double()
    assert equivariance_error(conv, make().to_graph(), in_type, in_type) < 1e-10


@pytest.mark.parametrize("layer", [GaugeConv, LatticeConv])
def test_rotations_of_the_icosahedron(layer):
    geom = geometry.icosahedron(1)
    in_type = FieldType(C6, "2xregular")
    net = randomise(layer(in_type, in_type)).double()
    assert symmetry_error(net, geom.to_graph(), geometry.icosahedron_symmetries(geom), in_type, in_type) < 1e-10


@pytest.mark.parametrize(
    "call",
    [
        lambda: geometry.mesh(*bumpy(1), radius=-1.0),
        lambda: geometry.mesh(*bumpy(1), rings=0),
        lambda: geometry.mesh(np.zeros((0, 3)), np.zeros((0, 3), int), rings=1),
        lambda: geometry.sphere(np.zeros((4, 2)), count=3),
        lambda: geometry.icosphere(-1, rings=1),
        lambda: geometry.icosphere(1, rings=1, structure="SO9"),
        lambda: geometry.fibonacci_sphere(0, count=3),
        lambda: geometry.healpix(3, rings=1),
        lambda: geometry.latlon(0, 4, count=3),
        lambda: geometry.icosahedron(-1),
        lambda: geometry.point_cloud(np.full((10, 3), np.nan)),
        lambda: geometry.points(np.zeros((3, 4)), radius=1.0),
        lambda: geometry.point(0),
        lambda: geometry.grid((3, 4), 2),
        lambda: geometry.grid((3, 4), 3, spacing=0.0),
        lambda: geometry.hexagonal((0, 3)),
        lambda: geometry.cylinder(0, 3),
        lambda: geometry.flat_torus(4, 0),
        lambda: geometry.lie_group("SE2", np.eye(3)),
        lambda: geometry.lie_group("SE9", np.eye(3)[None]),
        lambda: geometry.lie_group("SO3", np.ones((2, 3, 3))),
        lambda: geometry.moebius(4, 6, kernel_size=-1),
        lambda: geometry.klein_bottle(4, 6, 4),
    ],
)
def test_refuses_wrong_arguments(call):
    with pytest.raises((TypeError, ValueError), match=r"\w"):
        call()
