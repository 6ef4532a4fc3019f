"""Speed of preparing an image: medgan's recipe against MONAI's dictionary transforms, file to file."""

from __future__ import annotations

import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.bench_case import Deviation, compared
from medgan.commands.bench_settings import BenchRequest, require_peer
from medgan.commands.bench_timing import Side, in_turns

if TYPE_CHECKING:
    from medgan.preprocessing.recipe import Recipe

CHAIN = "preprocess a CT: load, reorient, resample, crop to the body, normalize, save"
ROWS = (CHAIN,)
WANTED = 2.0
RANGE_BOUND = 1e-4
SPACING_MM, MARGIN_MM, LOW_HU, HIGH_HU = 2.0, 8.0, -1024.0, 1500.0
SHAPE, QUICK_SHAPE, TINY_SHAPE = (256, 256, 176), (128, 128, 88), (40, 40, 28)
PEAK_WORDS = "most resident memory of the process during a run beyond what it held before"


def bench_preprocess(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the row of the whole chain."""
    nibabel: Any = import_module("nibabel")
    version = require_peer()
    shape = TINY_SHAPE if request.tiny else QUICK_SHAPE if request.quick else SHAPE
    spacing = 8.0 if request.tiny else SPACING_MM
    recipe = chain_recipe(spacing)
    worst = 0.0
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as name:
        folder = Path(name)
        scan, own, theirs = (folder / f"{each}.nii.gz" for each in ("scan", "own", "theirs"))
        _write_scan(scan, shape)

        def judge(_: dict[str, Any]) -> None:
            nonlocal worst
            one, other = (nibabel.load(path) for path in (own, theirs))
            if one.shape != other.shape or np.abs(one.affine - other.affine).max() > 1e-3:
                worst = float("inf")
                return
            worst = max(worst, float(np.abs(np.asarray(one.dataobj) - np.asarray(other.dataobj)).max()) / 2.0)

        turns = in_turns(
            {
                "medgan": Side(lambda: prepare(scan, own, recipe)),
                "peer": Side(lambda: prepare_by_monai(scan, theirs, recipe)),
            },
            rounds=request.rounds,
            judge=judge,
            advance=request.advance,
        )
    return [
        compared(
            CHAIN,
            peer=f"MONAI {version} dictionary transforms",
            medgan_s=turns.seconds["medgan"],
            peer_s=turns.seconds["peer"],
            deviations=[Deviation(worst, "of the range", RANGE_BOUND, "largest")],
            ratio_wanted=WANTED,
            medgan_peak_mb=turns.peak_mb["medgan"],
            peer_peak_mb=turns.peak_mb["peer"],
            peak_words=PEAK_WORDS,
            notes=[
                f"{' x '.join(map(str, shape))} voxels to {spacing:g} mm; both find the body by medgan's function, "
                "because MONAI takes one from its user"
            ],
        )
    ]


def chain_recipe(spacing_mm: float) -> Recipe:
    """Return the recipe that both sides follow; without smoothing, which MONAI's resampling does not have."""
    from medgan.preprocessing.recipe import Recipe

    return Recipe.from_json(
        [
            {"stage": "reorient", "codes": "RAS"},
            {"stage": "respace", "spacing_mm": [spacing_mm] * 3, "antialias": False},
            {"stage": "body_mask"},
            {"stage": "crop", "margin_mm": MARGIN_MM},
            {"stage": "hu_window", "low_hu": LOW_HU, "high_hu": HIGH_HU},
        ]
    )


def prepare(scan: Path, out: Path, recipe: Recipe) -> None:
    """Prepare a file as medgan does."""
    from medgan.cohort import Case
    from medgan.formats import read_volume, write_volume
    from medgan.volume import Quantity

    case = Case("scan", "scan", {"ct": read_volume(scan, quantity=Quantity.HOUNSFIELD)})
    write_volume(recipe(case).image, out, overwrite=True)


def prepare_by_monai(scan: Path, out: Path, recipe: Recipe) -> None:
    """Prepare a file by MONAI's dictionary transforms."""
    from monai.transforms import (
        Compose,
        CropForegroundd,
        EnsureChannelFirstd,
        Lambdad,
        LoadImaged,
        MaskIntensityd,
        Orientationd,
        ScaleIntensityRanged,
        Spacingd,
    )

    from medgan.commands.bench_monai_image import as_volume, saved
    from medgan.volume import Quantity

    spacing, body = recipe.stages[1].spacing_mm, recipe.stages[2]

    def with_body(image: Any) -> Any:
        import torch

        mask = body.found_in(as_volume(image, Quantity.HOUNSFIELD)).mask
        found = image.clone()
        found[0] = torch.from_numpy(np.ascontiguousarray(mask)).to(image.dtype)
        return found

    def add_body(data: dict[str, Any]) -> dict[str, Any]:
        return {**data, "body": with_body(data["image"])}

    voxels = int(np.ceil(MARGIN_MM / spacing[0]))
    chain = Compose(
        [
            LoadImaged("image", reader="NibabelReader"),
            EnsureChannelFirstd("image"),
            Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Spacingd("image", pixdim=spacing, mode="bilinear", padding_mode="border", scale_extent=True,
                     align_corners=True),
            add_body,
            CropForegroundd(("image", "body"), source_key="body", margin=voxels, allow_smaller=True),
            ScaleIntensityRanged("image", a_min=LOW_HU, a_max=HIGH_HU, b_min=0.0, b_max=2.0, clip=True),
            MaskIntensityd("image", mask_key="body"),
            Lambdad("image", lambda values: values - 1.0),
        ]
    )  # fmt: skip
    saved(chain({"image": str(scan)})["image"], out, dtype=np.float32)


def _write_scan(path: Path, shape: tuple[int, int, int]) -> None:
    """Write the CT of a head whose axes run to the left and posterior, as scanners store them."""
    from medgan.formats import write_volume
    from medgan.geometry import axis_map_to
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.paired_imaging import CLEAN
    from medgan.seeding import numpy_generator

    spacing = (256.0 / shape[0], 256.0 / shape[1], 264.0 / shape[2])
    head = head_phantom(
        generator=numpy_generator(5, "bench preprocess"), shape=shape, spacing_mm=spacing, acquisition=CLEAN
    )
    write_volume(head.ct.reordered(axis_map_to(head.ct.grid, "LPS")), path)
