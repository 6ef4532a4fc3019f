"""Voxel size and offset of arrays, from the metadata that laboratories write, in nm; refused where they contradict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medgan.errors import FormatError

Float3 = tuple[float, float, float]

UNITS_NM = {
    "angstrom": 0.1,
    "å": 0.1,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "nm": 1.0,
    "micrometer": 1e3,
    "micrometre": 1e3,
    "micron": 1e3,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "millimeter": 1e6,
    "millimetre": 1e6,
    "mm": 1e6,
    "centimeter": 1e7,
    "cm": 1e7,
    "meter": 1e9,
    "m": 1e9,
}
"""Lengths in nm of the units that metadata name."""

AGREEMENT = 1e-3
"""Two statements agree where lengths differ by no more than this share."""


@dataclass(frozen=True)
class Placement:
    """What metadata say about where voxels are.

    Parameters
    ----------
    voxel_size_zyx_nm : three floats or None
        None where nothing is said.
    offset_zyx_nm : three floats
        Center of the first voxel.
    where : str
        Which metadata say so.
    """

    voxel_size_zyx_nm: Float3 | None = None
    offset_zyx_nm: Float3 = (0.0, 0.0, 0.0)
    where: str = "nothing"


def nanometers(unit: object, label: str) -> float:
    """Return the length of a unit in nm.

    Raises
    ------
    FormatError
        If it is unknown.
    """
    factor = UNITS_NM.get(str(unit).strip().lower())
    if factor is None:
        known = "angstrom, nanometer, micrometer, millimeter, meter"
        raise FormatError(f"{label}: the unit of the voxel size must be a length ({known}): found {unit!r}.")
    return factor


def placement_of(attributes: Mapping[str, Any], label: str) -> Placement:
    """Return what the attributes of a plain array say, in z, y, x order.

    Parameters
    ----------
    attributes : mapping
        ``resolution`` or ``voxel_size`` (in nm unless ``units`` says otherwise; CREMI, funlib), ``element_size_um``
        (micrometers; ilastik, Fiji), ``transform`` (COSEM: scale, translate, units, axes); ``offset`` as resolution.
    label : str

    Raises
    ------
    FormatError
        If a statement is no three positive lengths, or two contradict each other.
    """
    units = _three(attributes.get("units", "nm"))
    found: list[Placement] = []
    offset = (0.0, 0.0, 0.0)
    if attributes.get("offset") is not None:
        offset = scaled(_lengths(attributes["offset"], "offset", label), units, label)
    for key in ("resolution", "voxel_size"):
        if attributes.get(key) is not None:
            size = scaled(_lengths(attributes[key], key, label), units, label)
            found.append(Placement(size, offset, key))
    if attributes.get("element_size_um") is not None:
        size = scaled(_lengths(attributes["element_size_um"], "element_size_um", label), ("um",) * 3, label)
        found.append(Placement(size, offset, "element_size_um"))
    transform = attributes.get("transform")
    if isinstance(transform, Mapping) and transform.get("scale") is not None:
        found.append(_transform(transform, label))
    return agreed(found, label)


def agreed(found: Sequence[Placement], label: str) -> Placement:
    """Return the first of several statements after comparing them all.

    Raises
    ------
    FormatError
        If a voxel size is not positive, or two differ.
    """
    for one in found:
        if one.voxel_size_zyx_nm is not None and not (np.array(one.voxel_size_zyx_nm) > 0).all():
            raise FormatError(f"{label}: a voxel size needs three positive lengths: {one.where} says {_words(one)}.")
    for one in found[1:]:
        require_agreement(found[0], one, label)
    return found[0] if found else Placement()


def require_agreement(one: Placement, other: Placement, label: str) -> None:
    """Raise a :class:`FormatError` where two statements of the voxel size contradict each other."""
    if one.voxel_size_zyx_nm is None or other.voxel_size_zyx_nm is None:
        return
    if not np.allclose(one.voxel_size_zyx_nm, other.voxel_size_zyx_nm, rtol=AGREEMENT, atol=0):
        raise FormatError(
            f"{label}: the voxel size must be one: {one.where} says {_words(one)}, {other.where} says {_words(other)}. "
            "Correct the one that is wrong."
        )


def settled(stated: Placement, given_zyx_nm: Sequence[float] | None, label: str) -> Placement:
    """Return the placement to use: what the metadata state, or the voxel size that was given where they are silent.

    Raises
    ------
    FormatError
        If neither says anything, or the two contradict each other.
    """
    if given_zyx_nm is not None:
        given = Placement(_lengths(given_zyx_nm, "--voxel-size", label), stated.offset_zyx_nm, "--voxel-size")
        return agreed([stated, given] if stated.voxel_size_zyx_nm is not None else [given], label)
    if stated.voxel_size_zyx_nm is None:
        raise FormatError(
            f"{label}: nothing says how large a voxel is. Pass --voxel-size z,y,x in nm, such as --voxel-size 40,4,4."
        )
    return stated


def scaled(lengths: Float3, units: Sequence[object], label: str) -> Float3:
    """Return lengths in nm, each in its unit."""
    values = [length * nanometers(unit, label) for length, unit in zip(lengths, units)]
    return values[0], values[1], values[2]


def _transform(transform: Mapping[str, Any], label: str) -> Placement:
    axes = [str(axis).lower() for axis in transform.get("axes") or ("z", "y", "x")]
    if sorted(axes) != ["x", "y", "z"]:
        raise FormatError(f"{label}: a transform needs the axes z, y and x: found {axes}.")
    order = [axes.index(axis) for axis in "zyx"]
    units = _three(transform.get("units", "nm"))

    def ordered(key: str) -> Float3:
        lengths = _lengths(transform.get(key) or (0.0, 0.0, 0.0), f"transform.{key}", label)
        values = scaled(lengths, units, label)
        return values[order[0]], values[order[1]], values[order[2]]

    return Placement(ordered("scale"), ordered("translate"), "transform")


def _three(units: Any) -> tuple[object, ...]:
    return (units,) * 3 if isinstance(units, str | bytes) else tuple(units)


def _lengths(values: Any, what: str, label: str) -> Float3:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.empty(0)
    if array.shape != (3,) or not np.isfinite(array).all():
        raise FormatError(f"{label}: {what} must be three numbers (z, y, x): found {values!r}.")
    return float(array[0]), float(array[1]), float(array[2])


def _words(placement: Placement) -> str:
    return " x ".join(f"{size:g}" for size in placement.voxel_size_zyx_nm or ()) + " nm (z, y, x)"
