"""Image files: read with the place of every voxel known, or refused; written whole, or not at all.

Knows NIfTI (1, 2 and pairs), Analyze, MetaImage, NRRD and DICOM (slices, multi-frame, mosaics, zip, DICOMDIR). Must not
know cases, recipes or tensors. Readers turn every convention (LPS, micrometers, big-endian, scaled integers) into RAS+
millimeters and native values; nobody else does.
"""

from medgan.formats.files import (
    ImageFile,
    LabelFile,
    is_supported,
    is_writable,
    read_image,
    read_label_file,
    read_labels,
    read_volume,
    stem_of,
    write_labels,
    write_volume,
)
from medgan.formats.finding import OtherObject
from medgan.formats.inventory import Inventory, find_image, open_image, take_inventory
from medgan.formats.inventory_item import InventoryItem
from medgan.formats.output import made_folder, require_absent, staged_path, write_bytes, write_with

__all__ = [
    "ImageFile",
    "Inventory",
    "InventoryItem",
    "LabelFile",
    "OtherObject",
    "find_image",
    "is_supported",
    "is_writable",
    "made_folder",
    "open_image",
    "read_image",
    "read_label_file",
    "read_labels",
    "read_volume",
    "require_absent",
    "staged_path",
    "stem_of",
    "take_inventory",
    "write_bytes",
    "write_labels",
    "write_volume",
    "write_with",
]
