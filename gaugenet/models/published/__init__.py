"""Published weights: layers of this library from the state_dicts of others, one reader for each kind of layer.

A reader takes arrays by the names of the other code (a state_dict, numpy arrays, with a prefix), and gives a layer of ours with
the same numbers, in their dtype, up to the conventions that its docstring states. Missing names, names too many and arrays of
another shape raise ValueError. None needs the other code.
"""

from .escnn import escnn_basis, escnn_conv, escnn_inner_batch_norm, escnn_type
from .gem import GEMConv, GEMResNetBlock, gem_conv, gem_features, gem_graph, gem_res_net_block
from .groupy import groupy_conv, groupy_elements, groupy_order
from .icosahedron import icosahedral_conv, icosahedral_norm
from .moebius import moebius_channels, moebius_cnn, moebius_conv, moebius_fields
from .surfaces import field_conv, harmonic_conv

__all__ = [
    "GEMConv",
    "GEMResNetBlock",
    "escnn_basis",
    "escnn_conv",
    "escnn_inner_batch_norm",
    "escnn_type",
    "field_conv",
    "gem_conv",
    "gem_features",
    "gem_graph",
    "gem_res_net_block",
    "groupy_conv",
    "groupy_elements",
    "groupy_order",
    "harmonic_conv",
    "icosahedral_conv",
    "icosahedral_norm",
    "moebius_channels",
    "moebius_cnn",
    "moebius_conv",
    "moebius_fields",
]
