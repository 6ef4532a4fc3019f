"""Finished explanations of cases on disk: one ``.npz`` a case, from which it is read back to the bit."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medgan.explanation.explanation import (
    Alternative,
    AttributionMap,
    Curve,
    Explanation,
    Randomization,
    TransformOutcome,
    Verdict,
)
from medgan.formats import made_folder, write_bytes

if TYPE_CHECKING:
    from medgan.volume.radiograph_placement import RadiographPlacement

FORMAT = 1
RECORD = "record_json"


@dataclass(frozen=True, eq=False)
class ExplainedCase:
    """An explanation with what a report shows beside it.

    Parameters
    ----------
    explanation : Explanation
    grad_cams : mapping of str to (h, w) float32
        ``real``: signed Grad-CAM of the source class; ``fake``: of the target class, on the fake. Empty where the
        classifier shows no inner activations.
    facts : mapping
        How the radiograph was read, the digest of its file, where maps lie on it.
    """

    explanation: Explanation
    grad_cams: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return everything but images as JSON values."""
        return {**self.explanation.as_dict(), "radiograph": dict(self.facts)}

    def images(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return every image by a name that says what it is."""
        return {
            **self.explanation.images(),
            **{f"grad_cam_of_{name}": values for name, values in self.grad_cams.items()},
        }


def write_case(folder: Path, case: ExplainedCase, *, request: str, placement: RadiographPlacement | None) -> None:
    """Write a case's images at the model's size, and its maps on the original pixels where those are others.

    Parameters
    ----------
    folder : Path
        Receives ``CASE.npz`` and perhaps ``CASE_original.npz``.
    request : str
        Digest of models, settings and images: a case of another request is not read back.
    placement : RadiographPlacement or None
    """
    made_folder(folder)
    name, images = case.explanation.case_id, case.images()
    if placement is not None and not placement.is_identity:
        # Gray images stay at the model's size: pasted back, they would look like the original and are not.
        pasted = {
            key: placement.pasted(values)
            for key, values in images.items()
            if key.startswith(("difference", "map_", "mask_", "grad_cam_of_"))
        }
        write_bytes(folder / f"{name}_original.npz", _archive(pasted), overwrite=True)
    record = {"format": FORMAT, "request": request, "case": case.as_dict()}
    text = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    write_bytes(folder / f"{name}.npz", _archive({**images, RECORD: text}), overwrite=True)


def read_case(folder: Path, case_id: str, *, request: str) -> ExplainedCase | None:
    """Return a case that the same request left behind, None if there is none."""
    try:
        with np.load(folder / f"{case_id}.npz", allow_pickle=False) as archive:
            images = {name: archive[name] for name in archive.files}
        record = json.loads(images.pop(RECORD).tobytes())
        if record["format"] != FORMAT or record["request"] != request:
            return None
        return _case(record["case"], images)
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None


def _archive(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def _case(record: dict[str, Any], images: dict[str, Any]) -> ExplainedCase:
    explanation = Explanation(
        **_known(
            Explanation,
            record,
            class_names=tuple(record["class_names"]),
            real=images["real"],
            fake=images["fake"],
            real_probabilities=tuple(record["real_probabilities"]),
            fake_probabilities=tuple(record["fake_probabilities"]),
            verdict=_verdict(record["verdict"]),
            maps=tuple(_map(one, images) for one in record["maps"]),
            curves=tuple(_curve(one, images) for one in record["curves"]),
            alternatives=tuple(_alternative(one, images) for one in record["alternatives"]),
        )
    )
    grad_cams = {name: images[key] for name in ("real", "fake") if (key := f"grad_cam_of_{name}") in images}
    return ExplainedCase(explanation, grad_cams, record["radiograph"])


def _map(record: dict[str, Any], images: dict[str, Any]) -> AttributionMap:
    check = record["randomization"]
    if check is not None:
        check = Randomization(
            **_known(Randomization, {k: tuple(v) if isinstance(v, list) else v for k, v in check.items()})
        )
    return AttributionMap(
        **_known(AttributionMap, record, values=images.get(f"map_{record['method']}"), randomization=check)
    )


def _curve(record: dict[str, Any], images: dict[str, Any]) -> Curve:
    method = record["method"]
    return Curve(**_known(Curve, record, mask=images[f"mask_{method}"], hybrid=images[f"hybrid_{method}"]))


def _alternative(record: dict[str, Any], images: dict[str, Any]) -> Alternative:
    image = images[f"alternative_{record['way'].replace(' ', '_')}"]
    return Alternative(
        **_known(
            Alternative,
            record,
            image=image,
            probabilities=tuple(record["probabilities"]),
            verdict=_verdict(record["verdict"]),
        )
    )


def _verdict(record: dict[str, Any]) -> Verdict:
    outcomes = tuple(TransformOutcome(**_known(TransformOutcome, one)) for one in record["outcomes"])
    return Verdict(**_known(Verdict, record, outcomes=outcomes))


def _known(kind: Any, record: Mapping[str, Any], **replaced: Any) -> dict[str, Any]:
    """Return a record's fields: what it was written with, and derived values left out."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in {**record, **replaced}.items() if name in names}
