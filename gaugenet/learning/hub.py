"""The Hugging Face hub: ``push_to_hub`` and ``from_pretrained`` for networks, where huggingface_hub is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MissingDependencyError
from .files import CONFIG, WEIGHTS, load
from .network import SavedNetwork

if TYPE_CHECKING:
    from typing_extensions import Self


class HubMixin(SavedNetwork):
    """Base beside a network's own: ``class MyNet(learning.HubMixin, models.MeshClassifier)``.

    ``save_pretrained`` and ``from_pretrained`` with a local folder need nothing else; a name on the hub needs huggingface_hub.
    """

    def save_pretrained(self, folder: str | Path) -> None:
        """As :meth:`SavedNetwork.save` with a folder: model.safetensors and config.json."""
        self.save(Path(folder))

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None, device: str = "cpu") -> Self:
        """A network from a local folder, or from the hub by its name "user/model".

        Args:
            name: folder or name.
            revision: branch, tag or commit on the hub.
            device: where to put it.
        """
        folder = Path(name)
        if not folder.is_dir():
            hub = _hub()
            paths = [hub.hf_hub_download(str(name), file, revision=revision) for file in (WEIGHTS, CONFIG)]
            folder = Path(paths[0]).parent
        return load(folder, cls=cls, device=device)

    def push_to_hub(self, name: str, *, private: bool = False, message: str = "A network of gaugenet") -> Any:
        """Upload the network as "user/model"; huggingface_hub knows who you are.

        Args:
            name: of the repository, made when missing.
            private: of a new repository.
            message: of the commit.
        """
        import tempfile

        hub = _hub()
        with tempfile.TemporaryDirectory() as folder:
            self.save(Path(folder))
            hub.create_repo(name, private=private, exist_ok=True)
            return hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message)


def _hub() -> Any:
    import importlib

    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise MissingDependencyError("the hub needs huggingface_hub: pip install huggingface_hub") from None
