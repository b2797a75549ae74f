"""From a table of meshes and answers to graphs with targets, and back to answers."""

from .budget import NodeBudget
from .mesh_dataset import MeshDataset
from .preparation import Preparation
from .tasks import Task

__all__ = ["MeshDataset", "NodeBudget", "Preparation", "Task"]
