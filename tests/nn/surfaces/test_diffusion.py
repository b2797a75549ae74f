"""Diffusion of fields: the exact heat kernel of the sphere, frames, gradients, batches, other surfaces."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from torch_geometric.data import Batch

from gaugenet import FieldType, geometry, groups, nn
from gaugenet.data import StaticGraph
from gaugenet.nn.surfaces import laplacian as module
from gaugenet.nn.surfaces.by_irreps import decompose
from gaugenet.testing import equivariance_error
from tests.helpers.corpus import plate
from tests.helpers.harmonics import sphere_case
from tests.helpers.meshes import bumpy
from tests.helpers.networks import randomise

SO2, O2 = groups.SO2(), groups.O2()


def t(blocks: str, group=SO2) -> FieldType:
    return FieldType(group, blocks)


def diffusion(type: FieldType, time: float, method: str = "spectral", **options) -> nn.FieldDiffusion:
    layer = nn.FieldDiffusion(type, method, unit="length", **options).double()
    with torch.no_grad():
        layer.diffusion_time.fill_(time)
    return layer


def heat_error(level: int, order: int, method: str, time: float = 0.05, lmax: int = 4) -> float:
    graph, field = sphere_case(level, order, lmax)
    f = field(torch.ones_like)
    decay = (lambda e: torch.exp(-time * e)) if method == "spectral" else (lambda e: 1 / (1 + time * e))
    with torch.no_grad():
        out = diffusion(t(f"1x{order}"), time, method, pairs=60)(f, graph)
    return float((out - field(decay)).norm() / field(decay).norm())


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_the_exact_heat_kernel_of_the_sphere(order):
    """exp(-t (l (l + 1) - n^2)) on spin-weighted harmonics: to 1e-3, and second order."""
    for method, finest in (("spectral", 4), ("implicit", 5)):
        errors = [heat_error(level, order, method) for level in (3, 4, finest)]
        assert errors[0] / errors[1] > 2**1.9, (method, errors)
        assert errors[2] < 1e-3 * 4 ** (5 - finest), (method, errors)


@pytest.mark.parametrize("order", [0, 1])
def test_the_spectral_form_at_icosphere_5(order):
    assert heat_error(5, order, "spectral", 0.1, 5) < 3e-4


def test_the_defect_is_that_of_linear_elements():
    """Lumped minus consistent: |t| / 6 on the diagonal and |t| / 12 beside it, of a mesh that is not even."""
    vertices, faces = bumpy(2)
    graph = geometry.mesh(vertices, faces, rings=1).to_graph()
    (defect,) = module.mass_defects(graph, SO2.irrep(0))
    sides = vertices[faces[:, 1:]] - vertices[faces[:, :1]]
    area = np.linalg.norm(np.cross(sides[:, 0], sides[:, 1]), axis=1) / 2
    consistent = np.zeros((len(vertices), len(vertices)))
    for i in range(3):
        for j in range(3):
            np.add.at(consistent, (faces[:, i], faces[:, j]), area / (6 if i == j else 12))
    assert np.abs(np.diag(consistent.sum(1)) - consistent - defect.toarray()).max() < 1e-12 * area.max()
    (matrix, mass), *_ = module.connection_laplacians(graph, SO2.irrep(0))
    both = module.eigenbasis(matrix, mass, SO2.irrep(0), 100, graph.log, defect)
    exact = np.sort(np.linalg.eigvals(np.linalg.solve(0.5 * (consistent + np.diag(mass)), matrix.toarray())).real)
    assert np.allclose(both.values[:30], exact[:30], rtol=5e-4, atol=1e-9)  # of the space of 100 vectors of the lumped mass
    cloud = geometry.point_cloud(geometry.fibonacci_points(100)).to_graph()
    assert module.mass_defects(cloud, SO2.irrep(0)) == [None]


@pytest.mark.parametrize("method", ["spectral", "implicit"])
@pytest.mark.parametrize(
    ("group", "make", "blocks"),
    [
        (SO2, lambda: geometry.icosphere(3, rings=1), "2x0 + 2x1 + 1x2"),  # eigenvalues up to six times the same
        (O2, lambda: geometry.fibonacci_sphere(200), "1x0 + 1x0- + 2x1"),
        (groups.Cyclic(6), lambda: geometry.icosahedron(2), "1x0 + 1x1 + 1xregular"),
        (groups.Dihedral(4), lambda: geometry.grid((6, 7), 3), "1x0 + 1x1 + 1xregular"),
        (groups.Reflection(), lambda: geometry.moebius(3, 9), "1x0 + 1x0- + 1xregular"),
        (groups.Trivial(), lambda: geometry.icosphere(2, rings=1, structure="e"), "2x0"),
    ],
    ids=lambda value: str(value) if isinstance(value, groups.Group) else "",
)
def test_gauge_equivariance(method, group, make, blocks):
    type, graph = t(blocks, group), make().to_graph()
    layer = randomise(nn.FieldDiffusion(type, method, pairs=40)).double()
    assert equivariance_error(layer, graph, type, type) < 1e-12


def test_reflected_frames_on_a_surface():
    """Frames of either hand, over O(2): the Laplacian is no longer complex, and its numbers are those of the other frames."""
    graph = geometry.icosphere(2, rings=1, structure="O2").to_graph()
    layer = randomise(nn.FieldDiffusion(t("1x1", O2), pairs=12)).double()
    assert equivariance_error(layer, graph, layer.in_type, layer.in_type) < 1e-12
    h = O2.sample(graph.num_nodes, generator=torch.Generator().manual_seed(0))
    turned = graph.gauge_transform(h)
    assert (torch.linalg.det(turned.transport) < 0).any()
    ((matrix, mass),) = module.connection_laplacians(turned, O2.irrep(1))
    ((first, _),) = module.connection_laplacians(graph, O2.irrep(1))
    assert not np.iscomplexobj(matrix) and matrix.shape[0] == 2 * len(mass) and np.iscomplexobj(first)
    found = module.eigenbasis(matrix, mass, O2.irrep(1), 12, graph.log).values
    wanted = module.eigenbasis(first, mass, O2.irrep(1), 12, graph.log).values
    assert len(found) == len(wanted) and torch.allclose(found, wanted, rtol=1e-9)


def test_random_bases_of_repeated_eigenvalues(monkeypatch):
    """Another basis in every cluster, other phases: the same output, because no cluster is cut."""
    type, graph = t("1x0 + 1x1"), geometry.icosphere(2, rings=1).to_graph()
    layer = randomise(nn.FieldDiffusion(type, pairs=30)).double()
    x = type.randn(graph.num_nodes, dtype=torch.float64)
    expected = layer(x, graph.clone())
    pairs = module.eigenpairs
    rng = np.random.default_rng(0)

    def other(*args, **options):
        values, vectors = pairs(*args, **options)
        for cluster in np.split(np.arange(len(values)), np.flatnonzero(np.diff(values) > 1e-6 * values[1:]) + 1):
            turn = rng.standard_normal((len(cluster),) * 2) + 1j * rng.standard_normal((len(cluster),) * 2)
            turn = np.linalg.qr(turn if np.iscomplexobj(vectors) else turn.real)[0]
            vectors[:, cluster] = vectors[:, cluster] @ turn
        return values, vectors

    monkeypatch.setattr(module, "eigenpairs", other)
    own = graph.clone()
    vectors = layer.plan(own).irreps[1].parts[0].vectors
    assert not torch.allclose(vectors, layer.plan(graph).irreps[1].parts[0].vectors) or layer.plan(graph) is None
    assert torch.allclose(layer(x, own), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["spectral", "implicit"])
def test_gradients_in_the_field_and_in_the_time(method):
    type, graph = t("1x0 + 2x1"), geometry.icosphere(1, rings=1).to_graph()
    layer = nn.FieldDiffusion(type, method, pairs=20).double()
    x = type.randn(graph.num_nodes, dtype=torch.float64).requires_grad_()
    time = layer.diffusion_time.detach().clone().requires_grad_()

    def run(x, time):
        return torch.func.functional_call(layer, {"diffusion_time": time}, (x, graph))

    assert torch.autograd.gradcheck(run, (x, time))
    assert torch.autograd.gradgradcheck(run, (x, time))


def test_a_short_time_changes_little_and_a_long_one_leaves_the_mean():
    graph = geometry.mesh(*bumpy(2), rings=1).to_graph()
    x = torch.randn(graph.num_nodes, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mean = (graph.area[:, None] * x).sum() / graph.area.sum()
    for method in ("spectral", "implicit"):
        pairs = graph.num_nodes
        assert torch.allclose(diffusion(t("1x0"), 1e-9, method, pairs=pairs)(x, graph), x, atol=1e-5)
        assert torch.allclose(diffusion(t("1x0"), 1e9, method, pairs=pairs)(x, graph), mean.expand_as(x), atol=1e-6)
    with torch.no_grad():
        layer = diffusion(t("1x0"), 0.3)
        expected = layer(x, graph)
        layer.diffusion_time.neg_()  # the absolute value counts
        assert torch.equal(layer(x, graph), expected)


def test_units():
    """In units of the area the size of a shape does not matter; in units of length a time is one of that square."""
    vertices, faces = bumpy(2)
    one, two = (geometry.mesh(s * vertices, faces, rings=1).to_graph() for s in (1.0, 2.0))
    x = torch.randn(one.num_nodes, 3, dtype=torch.float64)
    for method in ("spectral", "implicit"):
        layer = nn.FieldDiffusion(t("1x0 + 1x1"), method, pairs=40).double()
        assert torch.allclose(layer(x, one), layer(x, two), rtol=1e-8, atol=1e-10)
        a, b = diffusion(t("1x0 + 1x1"), 0.1, method), diffusion(t("1x0 + 1x1"), 0.4, method)
        assert torch.allclose(a(x, one), b(x, two), rtol=1e-8, atol=1e-10)
        assert not torch.allclose(a(x, one), a(x, two), rtol=1e-2)
    sphere, area = geometry.icosphere(2, rings=1).to_graph(), nn.FieldDiffusion(t("1x0")).double()
    length = copy.deepcopy(area)
    length.unit = "length"
    y = sphere.pos[:, :1]
    assert torch.allclose(area(y, sphere), length(y, sphere), rtol=0.03)  # the unit sphere is the unit


def test_a_batch_and_a_static_graph():
    meshes = [geometry.icosphere(1, rings=1), geometry.icosphere(2, rings=1), geometry.mesh(*bumpy(1), rings=1)]
    graphs, type = [m.to_graph() for m in meshes], t("2x0 + 1x1")
    xs = [type.randn(g.num_nodes, dtype=torch.float64) for g in graphs]
    for layer in (nn.FieldDiffusion(type, pairs=20), nn.FieldDiffusion(type, "implicit"), nn.PoissonSolve(type)):
        layer.double()
        batch = Batch.from_data_list(graphs)
        out = layer(torch.cat(xs), batch)
        kept = [g.plans[key] for g in graphs for key in g.plans if key[0] == layer._key(g)[0]]
        assert len(kept) == 6 and all(len(plan.parts) == 1 for plan in kept)  # the batch gave its graphs theirs
        alone = torch.cat([layer(x, g.clone()) for x, g in zip(xs, graphs)])
        assert torch.allclose(out, alone, rtol=0, atol=1e-12)
        assert torch.equal(layer(torch.cat(xs), Batch.from_data_list(graphs)), out)  # joined from theirs
        several = type.randn(3, graphs[1].num_nodes, dtype=torch.float64)
        static = layer(several.flatten(0, 1), StaticGraph(graphs[1])).unflatten(0, (3, -1))
        assert torch.allclose(static[2], layer(several[2], graphs[1]), atol=1e-12)


def test_plans_are_kept_and_given_up():
    graph, layer = geometry.icosphere(1, rings=1).to_graph(), nn.FieldDiffusion(t("1x0"), pairs=10)
    first = layer.plan(graph).irreps[0]
    assert layer.plan(graph).irreps[0] is first
    assert nn.FieldDiffusion(t("4x0"), pairs=10).plan(graph).irreps[0] is first
    assert nn.FieldDiffusion(t("1x0"), pairs=9).plan(graph).irreps[0] is not first
    graph.pos[0] *= 1.1
    assert layer.plan(graph).irreps[0] is not first


def test_pairs_are_cut_at_a_gap():
    values = np.array([0, 1, 1, 2, 2, 2, 3, 3.001, 4, 4.05, 5, 5, 5, 5])
    assert module._cut(values, 6, 4) == 6 and module._cut(values, 5, 4) == 3 and module._cut(values, 7, 4) == 6
    assert module._cut(values, 12, 4) == 10 and module._cut(values, 14, 4) == 14
    assert module._cut(values, 13, 2) == 10  # a cluster that fills the window
    assert module._cut(np.array([2.0, 2, 2, 2, 3]), 2, 8) == 4  # the first cluster, whole
    graph = geometry.icosphere(3, rings=1).to_graph()
    for pairs in (9, 10, 20, 100):
        found = nn.FieldDiffusion(t("1x0"), pairs=pairs).plan(graph).irreps[0].parts[0].values
        assert pairs - max(8, pairs // 10) <= len(found) <= pairs


def test_points_without_faces():
    """The Laplacian of the plane, and of points of the sphere, to some per cent."""
    points = geometry.points(np.random.default_rng(0).uniform(-1, 1, (600, 2)), neighbours=24).to_graph()
    inside = (points.pos.abs() < 0.5).all(1)
    ((matrix, mass),) = module.connection_laplacians(points, SO2.irrep(0))
    f = (points.pos**2).sum(1).numpy()
    assert abs(np.mean((matrix @ f / mass)[inside]) + 4) < 0.2
    cloud = geometry.point_cloud(geometry.fibonacci_points(800)).to_graph()
    assert getattr(cloud, "face", None) is None
    for order in (0, 1, 2):
        ((matrix, mass),) = module.connection_laplacians(cloud, SO2.irrep(order))
        values = module.eigenpairs(matrix, mass, 9)[0]
        wanted = np.array([l * (l + 1) - order**2 for l in range(order, 5) for _ in range(2 * l + 1)][:9])
        assert np.allclose(values, wanted, atol=0.06 * wanted.max())


def test_edges_beyond_the_neighbourhood():
    """Long edges of the mesh that are not in the graph: transport by the smallest rotation, exact on the sphere."""
    full = geometry.icosphere(2, rings=2).to_graph()
    short = full.clone()
    length = full.log.norm(dim=1)
    kept = length < 0.3 if (length < 0.3).any() else length < length.median()
    for name in ("log", "transport", "weight"):
        setattr(short, name, getattr(full, name)[kept])
    short.edge_index = full.edge_index[:, kept]
    one, other = (module.connection_laplacians(g, SO2.irrep(2))[0][0] for g in (full, short))
    assert abs(one - other).max() < 1e-12
    h = O2.sample(full.num_nodes, generator=torch.Generator().manual_seed(0))
    turned = short.gauge_transform(h)
    layer = diffusion(t("1x2", O2), 0.1, "implicit")
    x = layer.in_type.randn(full.num_nodes, dtype=torch.float64)
    moved = layer.in_type.transform(h.mT, x)
    assert torch.allclose(layer(moved, turned), layer.in_type.transform(h.mT, layer(x, full)), atol=1e-12)
    short.frame = None
    with pytest.raises(ValueError, match=r"needs the edges of the faces: \d+ -> \d+ is not in edge_index; take rings=1"):
        layer(x, short)


def test_flat_and_odd_faces():
    """A face without area is mollified; areas without faces come from the graph, else from the weights."""
    vertices, faces = plate(6, 6)
    vertices = np.array(vertices, float)
    vertices[8] = 0.5 * (vertices[7] + vertices[9])
    graph = geometry.mesh(vertices, faces, rings=1).to_graph()
    out = nn.FieldDiffusion(t("1x0 + 1x1"), pairs=20).double()(torch.randn(len(vertices), 3, dtype=torch.float64), graph)
    assert out.isfinite().all()
    grid = geometry.grid((6, 7), 3).to_graph()
    with_area = module._mass(grid)
    grid.area = None
    assert np.allclose(module._mass(grid).mean(), with_area.mean(), rtol=0.3)


@pytest.mark.parametrize(
    "rep",
    [
        groups.Cyclic(6).regular, groups.Dihedral(4).regular, groups.Reflection().regular, groups.Dihedral(6).irrep(1),
        groups.Cyclic(4).regular + groups.Cyclic(4).irrep(1), SO2.representation("regular(2)"),
    ],
    ids=str,
)  # fmt: skip
def test_decomposition(rep):
    parts = decompose(rep)
    whole = torch.cat([matrix for _, matrix in parts], 1)
    assert torch.allclose(whole.T @ whole, torch.eye(rep.dim, dtype=torch.float64), atol=1e-12)
    for g in rep.group.sample(5):
        for irrep, matrix in parts:
            assert torch.allclose(rep(g) @ matrix, matrix @ irrep(g), atol=1e-12)


def test_regular_fields_are_their_irreps():
    graph, group = geometry.icosahedron(2).to_graph(), groups.Cyclic(6)
    regular, layer = t("1xregular", group), diffusion(t("1xregular", group), 0.05)
    x, expected = regular.randn(graph.num_nodes, dtype=torch.float64), 0
    for irrep, matrix in decompose(group.regular):
        part = diffusion(FieldType(group, [(1, irrep)]), 0.05)
        expected = expected + part(x @ matrix, graph) @ matrix.T
    assert torch.allclose(layer.corners(expected, graph), layer(x, graph), atol=1e-12)


def test_the_matrix_is_symmetric_and_positive():
    graph = geometry.mesh(*bumpy(2), rings=1).to_graph()
    for order in (0, 1, 2):
        ((matrix, mass),) = module.connection_laplacians(graph, SO2.irrep(order))
        dense = matrix.toarray()
        assert np.abs(dense - dense.conj().T).max() < 1e-14 and np.linalg.eigvalsh(dense)[0] > -1e-12
        assert math.isclose(mass.sum(), float(graph.area.sum()), rel_tol=1e-12)
    from gaugenet.geometry.meshes.laplacian import cotangent_laplacian

    ((matrix, _),) = module.connection_laplacians(graph, SO2.irrep(0))
    known, _ = cotangent_laplacian(graph.pos.numpy(), graph.face.T.numpy())
    assert abs(sparse.csr_matrix(known) - matrix).max() < 1e-12
