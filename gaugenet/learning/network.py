"""Networks that know how they were made: saved with all that it takes to use them, and asked about meshes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch

from ..settings import KeepsSettings
from .answers import Answer, answer
from .files import load, save_network

if TYPE_CHECKING:
    from ..data import Preparation


class SavedNetwork(KeepsSettings):
    """Base of the ready networks, and of your own: ``save``, ``load`` and ``predict``.

    The arguments of the constructor are kept as they are given. What a file can hold of them: numbers, words, tuples, arrays,
    field types, groups, kernels and other values of the library, functions of torch.

    Attributes:
        preparation: from a mesh file to the input, and from the output to the answer; None until it is set, for example to
            ``data.Preparation.fit(train)``.
    """

    preparation: Preparation | None = None
    _constructed_with: tuple[tuple, dict[str, Any]] = ((), {})

    def __new__(cls, *args: Any, **kwargs: Any) -> SavedNetwork:
        self = super().__new__(cls)
        # Copies and pickles are made without arguments, and get this with the rest of the state.
        object.__setattr__(self, "_constructed_with", (args, kwargs))
        return self

    def save(self, path: str | os.PathLike) -> None:
        """Write weights, configuration and preparation, so that ``gaugenet.load`` gives the same network in another process.

        Args:
            path: a file that ends in .safetensors, or a folder, which then has model.safetensors and config.json.

        Raises:
            ModelFileError: an argument of the constructor that cannot be written down, such as a function of yours.
        """
        save_network(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike, *, device: str | torch.device = "cpu") -> Any:
        """As :func:`gaugenet.load`, for networks of this class, which need not be one of the library."""
        return load(path, cls=cls, device=device)

    def predict(self, mesh: Any) -> Answer:
        """The answer about a mesh, preprocessed as the training data were.

        Args:
            mesh: a mesh file, a trimesh.Trimesh, a pair (vertices, faces), a record, or a LocalGeometry, see
                :meth:`gaugenet.data.Preparation.geometry`.

        Raises:
            ValueError: a network without a preparation. MeshError, OSError: a mesh that cannot be used.
        """
        preparation = self.preparation
        if preparation is None:
            raise ValueError(
                f"{type(self).__name__}.predict needs to know how meshes are prepared: set preparation, for example to "
                "data.Preparation.fit(train)"
            )
        parameter = next(self.parameters())
        geometry = preparation.geometry(mesh)
        graph = preparation.graph(geometry, parameter.dtype).to(parameter.device)
        modes = [(part, part.training) for part in self.modules()]
        self.eval()
        try:
            with torch.no_grad():
                output = self(graph.x, graph)
        finally:
            for part, mode in modes:
                part.training = mode
        name = os.fspath(mesh) if isinstance(mesh, str | os.PathLike) else ""
        return answer(output, graph, geometry, preparation.task, name)
