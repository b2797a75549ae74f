"""Log maps and transport around a vertex, as they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from gaugenet import geometry
from gaugenet.errors import GeometryError
from gaugenet.viz.neighbourhood import LogPatch, carried_along, edge_path, neighbourhood
from gaugenet.viz.views import transport_view
from tests.helpers.corpus import moebius, sphere


def test_log_lines_are_geodesic_circles_and_rays(ball):
    """On the unit sphere a circle of radius r lies at height cos r over the pole, and a ray in a plane through the axis."""
    vertex = int(np.argmax(ball.positions[:, 2]))
    around = neighbourhood(ball, vertex, 1.0)
    patch = LogPatch(ball, around, ball.positions)
    assert np.nanmax(patch.distance) <= 1.0 and patch.faces.mean() > 0.15
    angle = np.linspace(0.0, 2 * np.pi, 100)
    (line,), (normal,) = patch.carry(0.5 * np.stack([np.cos(angle), np.sin(angle)], -1))
    assert len(line) == 100
    # The mesh lies below the sphere by about an eighth of the edge's square.
    sag = np.linalg.norm(ball.log, axis=1).max() ** 2 / 8
    np.testing.assert_allclose(np.arccos(line[:, 2] / np.linalg.norm(line, axis=1)), 0.5, atol=sag)
    np.testing.assert_allclose(normal, line / np.linalg.norm(line, axis=1, keepdims=True), atol=0.05)
    direction = np.array([0.6, 0.8])
    (ray,), _ = patch.carry(np.linspace(0.05, 0.8, 50)[:, None] * direction)
    across = np.cross([0.0, 0.0, 1.0], ball.frame[vertex] @ direction)
    np.testing.assert_allclose(ray @ across, 0.0, atol=sag)
    # A line that leaves the neighbourhood is cut there, one outside of it is not drawn.
    pieces, _ = patch.carry(np.linspace(0.0, 3.0, 50)[:, None] * direction)
    assert len(pieces) == 1 and len(pieces[0]) < 20
    assert patch.carry(np.full((5, 2), 9.0)) == ([], [])


def test_neighbourhoods(ball):
    stored = neighbourhood(ball, 5)
    edges = ball.edge_index[1] == 5
    np.testing.assert_array_equal(stored.nodes, ball.edge_index[0, edges])
    np.testing.assert_array_equal(stored.log, ball.log[edges])
    # Of a radius: computed anew in the same frames. Where both have a node they agree.
    anew = neighbourhood(ball, 5, 1.3 * float(ball.radius[5]))
    assert len(anew.nodes) > len(stored.nodes)
    at = np.searchsorted(anew.nodes, stored.nodes)
    np.testing.assert_allclose(anew.log[at], stored.log, atol=1e-9)
    # Stored transport is the mean of both ends' answers; from one end alone it differs a little.
    np.testing.assert_allclose(anew.transport[at], stored.transport, atol=1e-2)
    with pytest.raises(ValueError, match="between 0 and"):
        neighbourhood(ball, ball.num_nodes)
    with pytest.raises(ValueError, match="radius"):
        neighbourhood(ball, 0, -1.0)
    with pytest.raises(GeometryError, match="no neighbours"):
        neighbourhood(ball, 0, 1e-6)


def test_transport_around_an_octant_turns_by_its_area():
    """Gauss-Bonnet: around the octant of the unit sphere by pi / 2, counter-clockwise for a counter-clockwise loop."""
    v, f = sphere(4)
    g = geometry.mesh(v, f, rings=1)
    corners = [int(np.argmax(v @ axis)) for axis in np.eye(3)]
    path = edge_path(g, [*corners, corners[0]])
    assert path[0] == path[-1] == corners[0] and set(corners) <= set(path)
    np.testing.assert_allclose(v[path].min(axis=1), 0.0, atol=1e-12)  # along the great circles
    carried = carried_along(g, path, np.array([1.0, 0.0]))
    np.testing.assert_allclose(np.linalg.norm(carried, axis=1), 1.0, atol=1e-12)
    assert np.arctan2(carried[-1, 1], carried[-1, 0]) == pytest.approx(np.pi / 2, abs=0.01)
    assert "turned by 90" in transport_view(g, path=[*corners, corners[0]]).title
    strip = geometry.mesh(*moebius(24, 4), rings=1, structure="O2")
    assert transport_view(strip, path=[0, 32, 64, 0]).title.endswith("mirrored")
    with pytest.raises(ValueError, match="two or more"):
        edge_path(g, [3])
    with pytest.raises(GeometryError, match="no neighbours"):
        carried_along(g, [corners[0], corners[1]], np.array([1.0, 0.0]))
