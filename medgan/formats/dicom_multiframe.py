"""The frames of a file: one of a classic file, many of an enhanced one, the tiles of a Siemens mosaic."""

from __future__ import annotations

from medgan.errors import FormatError
from medgan.formats import dicom_tags as tags
from medgan.formats.dicom_file import DicomFile
from medgan.formats.dicom_frame import DicomFrame, FrameView, frame_of
from medgan.formats.dicom_mosaic import tiles_of
from medgan.formats.dicom_object import is_mosaic


def frames_of(file: DicomFile) -> tuple[DicomFrame, ...]:
    """Return the slices that a file holds, in the order in which it stores them.

    Raises
    ------
    FormatError
        If it holds several frames without a description of each, or a mosaic that cannot be unpacked.
    """
    header = file.header
    groups = header.items(tags.FRAME_GROUPS)
    if not groups:
        if (file.pixels.frames or 1) > 1:
            raise FormatError(
                f"{file.label} holds {file.pixels.frames} frames and does not say where each lies: the functional "
                "groups of its frames are missing. Export it as an enhanced or a classic series."
            )
        frame = frame_of(file, FrameView(None, None, header), 0)
        return tiles_of(frame) if is_mosaic(header) else (frame,)
    if file.pixels.frames != len(groups):
        raise FormatError(
            f"{file.label} describes {len(groups)} frames and declares {file.pixels.frames}: the header is damaged. "
            "Copy the file again."
        )
    shared = header.items(tags.SHARED_GROUPS)
    common = shared[0] if shared else None
    return tuple(frame_of(file, FrameView(own, common, header), index) for index, own in enumerate(groups))
