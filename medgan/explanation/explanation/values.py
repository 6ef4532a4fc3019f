"""How records become JSON and how their arrays are kept from changing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IMAGE: Mapping[str, bool] = {"image": True}
"""Marks fields that hold an image: they belong in an ``.npz``, not in JSON."""


DERIVED = ("value", "low", "high", "optimal_area", "optimal_score", "direction", "void", "excludes_zero")
"""Properties of records that are written beside their fields."""


def json_value(value: Any) -> Any:
    """Return a record, a mapping, a sequence or a small array as JSON values; numbers that are not finite become None.

    Fields of records that hold images are replaced by their shape.

    Examples
    --------
    >>> json_value({"a": np.float32(0.5), "b": np.arange(2), "c": float("nan")})
    {'a': 0.5, 'b': [0, 1], 'c': None}
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = {
            p: json_value(getattr(value, p)) for p in DERIVED if isinstance(getattr(type(value), p, None), property)
        }
        for one in dataclasses.fields(value):
            part = getattr(value, one.name)
            if one.metadata.get("image"):
                found[one.name] = None if part is None else {"shape": list(np.shape(part))}
            else:
                found[one.name] = json_value(part)
        return found
    if isinstance(value, Mapping):
        return {str(k): json_value(v) for k, v in value.items()}
    if isinstance(value, np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, tuple | list):
        return [json_value(v) for v in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def frozen(array: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Return a read-only copy of an array."""
    own = np.array(array, dtype=dtype)
    own.setflags(write=False)
    return own
