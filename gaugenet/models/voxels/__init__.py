"""The published networks on voxels: choices of group, fields and kernels over shared layers."""

from .cnn import VoxelCNN
from .presets import GCNN3D, CubeNet, SteerableCNN3D

__all__ = ["GCNN3D", "CubeNet", "SteerableCNN3D", "VoxelCNN"]
