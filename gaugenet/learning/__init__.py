"""From a data set to a trained network, a file, and answers about new meshes."""

from .answers import Answer
from .fields import fit
from .files import ModelFileError, load
from .hub import HubMixin
from .loop import Evaluation, evaluate, network, train
from .network import SavedNetwork

__all__ = ["Answer", "Evaluation", "HubMixin", "ModelFileError", "SavedNetwork", "evaluate", "fit", "load", "network", "train"]
