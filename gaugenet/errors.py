"""The exceptions that gaugenet raises for a user's mistake or a bad input."""

from __future__ import annotations

from collections.abc import Iterable


class GaugenetError(Exception):
    """Base class of every error that gaugenet raises on purpose."""


class MeshError(GaugenetError, ValueError):
    """A mesh that cannot be used as it is.

    Args:
        message: what was expected and what came.
        kind: one word for machines, for example ``"non_manifold_edge"``.
        ids: the offending elements (vertex, face or edge ids); the first few are printed.
        path: the file that the mesh came from, if any.
    """

    def __init__(self, message: str, *, kind: str = "mesh", ids: Iterable[int] = (), path: str | None = None):
        self.message = message
        self.kind = kind
        self.ids = [int(i) for i in ids]
        self.path = None if path is None else str(path)
        super().__init__(message)

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        which = ""
        if self.ids:
            shown = ", ".join(str(i) for i in self.ids[:8])
            which = f" (ids {shown}{', ...' if len(self.ids) > 8 else ''}; {len(self.ids)} in all)"
        return f"{where}{self.message}{which}"

    def __reduce__(self) -> tuple:
        return _rebuild_mesh_error, (self.message, self.kind, self.ids, self.path)


def _rebuild_mesh_error(message: str, kind: str, ids: tuple[int, ...], path: str | None) -> MeshError:
    return MeshError(message, kind=kind, ids=ids, path=path)


class RecordError(GaugenetError, ValueError):
    """A record on disk that is damaged, hostile or of another schema."""


class GeometryError(GaugenetError, ValueError):
    """A LocalGeometry whose arrays do not fit each other or the conventions."""


class MissingDependencyError(GaugenetError, ImportError):
    """Something that needs an optional dependency which is not installed; the message says which extra brings it."""
