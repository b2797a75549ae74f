"""Geometries that are looked at."""

from __future__ import annotations

import pytest

from gaugenet import geometry
from tests.helpers.corpus import sphere, torus


@pytest.fixture(scope="package")
def ball():
    return geometry.mesh(*sphere(3), rings=2, levels=2)


@pytest.fixture(scope="package")
def ring():
    return geometry.mesh(*torus(32, 20), rings=1)
