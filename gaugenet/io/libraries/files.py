"""Mesh files that are read through a library: the VTK family, GMSH."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ...errors import MeshError
from ..mesh_formats import Polygons, unreadable
from . import needed
from .objects import polygons_of


@contextlib.contextmanager
def in_file(data: bytes, extension: str = "") -> Iterator[str]:
    """The path of a passing file with these bytes, for libraries that read nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"mesh{extension}")
        with open(path, "wb") as file:
            file.write(data)
        yield path


def read_vtk(data: bytes, extension: str) -> Polygons:
    """VTK's own files (.vtk, .vtp, .vtu) through pyvista: a surface of polygons with its point and cell data."""
    pyvista = needed("pyvista", f"{extension} files")
    quiet = pyvista.vtk_verbosity("off")  # what VTK has to say is said here, and not on stderr
    try:
        with in_file(data, extension) as path, quiet, pyvista.VtkErrorCatcher(send_to_logging=False) as caught:
            # VTK's own reader: pyvista's would warn and log besides.
            reader = pyvista.get_reader(path).reader
            reader.Update()
            mesh = pyvista.wrap(reader.GetOutputDataObject(0))
            # A short binary .vtk is told of as a warning, and read as zeros.
            told = [event for event in caught.events if event.alert == "ERROR" or "Error" in event.message]
        if told:
            raise ValueError(told[0].message)
    # VTK's errors and those of pyvista: the answer is the same.
    except Exception as error:
        raise _refused(extension, "pyvista", error) from None
    found = polygons_of(mesh)
    if found is None:
        raise unreadable(f"expected a surface in a {extension} file, got {type(mesh).__name__}")
    return found


def read_gmsh(data: bytes) -> Polygons:
    """GMSH (.msh, versions 2 and 4) through meshio: triangles and quads with their data."""
    meshio = needed("meshio", ".msh files")
    try:
        with in_file(data, ".msh") as path:
            mesh = meshio.gmsh.read(path)
    except Exception as error:
        raise _refused(".msh", "meshio", error) from None
    found = polygons_of(mesh)
    assert found is not None
    return found


def _refused(extension: str, library: str, error: Exception) -> MeshError:
    told = " ".join(str(error).split())[:160]
    return unreadable(f"not a {extension} file that {library} can read: {type(error).__name__}: {told}")
