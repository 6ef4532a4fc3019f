"""OME-Zarr 0.4 and 0.5 metadata: which array is the image, which axes are z, y, x, and how large a voxel is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from medgan.errors import FormatError
from medgan.formats.chunked_placement import Float3, Placement, nanometers

VERSIONS = ("0.4", "0.5")


@dataclass(frozen=True)
class OmeImage:
    """One multiscale image of a group.

    Parameters
    ----------
    dataset : str
        Path of the array of full resolution inside the group.
    axes_zyx : three integers
        Which axes of the array are z, y, x.
    placement : Placement
        In nm.
    version : str
    """

    dataset: str
    axes_zyx: tuple[int, int, int]
    placement: Placement
    version: str


def ome_attributes(attributes: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the part of a group's attributes that OME-Zarr defines: ``ome`` in 0.5, all of them in 0.4; else None."""
    inner = attributes.get("ome")
    if isinstance(inner, Mapping):
        return inner
    return attributes if "multiscales" in attributes else None


def ome_image(attributes: Mapping[str, Any], label: str, *, dataset: str | None = None) -> OmeImage | None:
    """Return the image that a group's attributes describe; None where they describe none.

    Parameters
    ----------
    attributes : mapping
        Of the group.
    label : str
        Of the group, for messages.
    dataset : str, optional
        Which of the arrays; that of full resolution if not given. None is returned where the group has no such array.

    Raises
    ------
    FormatError
        If the metadata are not those of a volume: no z, y or x, unknown units, no scale.
    """
    ome = ome_attributes(attributes)
    if ome is None or not ome.get("multiscales"):
        return None
    multiscales = ome["multiscales"]
    if not isinstance(multiscales, Sequence) or not isinstance(multiscales[0], Mapping):
        raise FormatError(f"{label}: multiscales of OME-Zarr metadata must be a list of images: found {multiscales!r}.")
    image = multiscales[0]
    version = str(ome.get("version") or image.get("version") or "")
    if version not in VERSIONS:
        raise FormatError(f"{label}: OME-Zarr of version {' or '.join(VERSIONS)} is read: found {version or 'none'!r}.")
    axes = image.get("axes")
    if not isinstance(axes, Sequence) or not all(isinstance(axis, Mapping) for axis in axes):
        raise FormatError(f"{label}: OME-Zarr metadata must list the axes of the image: found {axes!r}.")
    names = [str(axis.get("name", "")).lower() for axis in axes]
    if not {"z", "y", "x"} <= set(names):
        raise FormatError(f"{label}: a volume needs the axes z, y and x: the OME-Zarr metadata list {names}.")
    positions = (names.index("z"), names.index("y"), names.index("x"))
    datasets = image.get("datasets") or []
    chosen = next((each for each in datasets if dataset is None or str(each.get("path")).strip("/") == dataset), None)
    if chosen is None:
        if dataset is None:
            raise FormatError(f"{label}: OME-Zarr metadata must list the arrays of the image: found none.")
        return None
    placement = _placement(axes, positions, (chosen, image), label)
    return OmeImage(str(chosen["path"]).strip("/"), positions, placement, version)


def _placement(
    axes: Sequence[Mapping[str, Any]], positions: Sequence[int], levels: Sequence[Mapping[str, Any]], label: str
) -> Placement:
    """Compose the transformations of the array and of the image, the array's first."""
    units = [axes[position].get("unit") for position in positions]
    scale, offset = [1.0] * 3, [0.0] * 3
    is_scaled = False
    for level in levels:
        for transformation in level.get("coordinateTransformations") or ():
            kind = transformation.get("type")
            if kind == "identity":
                continue
            values = transformation.get(kind)
            if kind not in ("scale", "translation") or not isinstance(values, Sequence) or len(values) != len(axes):
                raise FormatError(
                    f"{label}: the placement of an OME-Zarr image must be a scale and a translation with a number for "
                    f"each of its {len(axes)} axes: found {dict(transformation)}."
                )
            picked = [float(values[position]) for position in positions]
            if kind == "scale":
                is_scaled = True
                scale = [a * b for a, b in zip(scale, picked)]
                offset = [a * b for a, b in zip(offset, picked)]
            else:
                offset = [a + b for a, b in zip(offset, picked)]
    if not is_scaled or any(unit is None for unit in units):
        # A scale without a unit is no length.
        return Placement(where="OME-Zarr metadata without a unit")
    factors = [nanometers(unit, label) for unit in units]
    size: Float3 = tuple(s * f for s, f in zip(scale, factors))  # type: ignore[assignment]
    start: Float3 = tuple(o * f for o, f in zip(offset, factors))  # type: ignore[assignment]
    if min(size) <= 0:
        raise FormatError(f"{label}: a voxel size needs three positive lengths: the OME-Zarr metadata say {size} nm.")
    return Placement(size, start, "OME-Zarr metadata")
