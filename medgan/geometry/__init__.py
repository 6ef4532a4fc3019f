"""Where voxels are: grids, boxes and axis orientations in one convention (RAS+ world, voxel centers).

Knows millimetres and nothing of values. Imports NumPy and no other part of medgan but :mod:`medgan.errors`.
"""

from medgan.geometry.box import Box, bounding_box
from medgan.geometry.grid import Grid
from medgan.geometry.nearest_voxel import nearest_voxel
from medgan.geometry.orientation import AxisMap, axis_codes, axis_map_to

__all__ = ["AxisMap", "Box", "Grid", "axis_codes", "axis_map_to", "bounding_box", "nearest_voxel"]
