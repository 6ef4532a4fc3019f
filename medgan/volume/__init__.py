"""What voxels measure: frozen volumes, label maps and radiographs, where they came from, and resampling between grids.

Knows grids and quantities. Must not know files, cases or tensors.
"""

from medgan.volume.label_map import LabelMap
from medgan.volume.provenance import Provenance, Step
from medgan.volume.quantity import Quantity
from medgan.volume.radiograph import Radiograph
from medgan.volume.source import LabelSource, PartOfLabels, PartOfSource, VolumeSource
from medgan.volume.volume import Volume

__all__ = [
    "LabelMap",
    "LabelSource",
    "PartOfLabels",
    "PartOfSource",
    "Provenance",
    "Quantity",
    "Radiograph",
    "Step",
    "Volume",
    "VolumeSource",
]
