"""``medgan demo``: the main job on a phantom whose answer is known, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medgan.commands.console import Console

MODEL = "phantom-mr-to-ct"
SEED = 2026
SHAPE, SPACING_MM = (112, 120, 104), (2.0, 2.0, 2.4)


def demo(out: Path, *, device: str, precision: str, overwrite: bool, console: Console) -> dict[str, Any]:
    """Draw a head phantom, translate its MR, compare with its CT, and draw both.

    Parameters
    ----------
    out : Path
        Folder for images and pictures.
    device, precision : str
    overwrite : bool
    console : Console

    Returns
    -------
    dict
        Paths of all files, the measures of the model, and two reference points: the phantom's own tissue table applied
        voxel by voxel (noise makes it err), and a body filled with one value.
    """
    from medgan.commands.evaluate import compared
    from medgan.commands.pictures import comparison_picture
    from medgan.commands.translate import translate
    from medgan.formats import read_volume, require_absent, write_bytes, write_volume
    from medgan.phantoms.head import head_phantom
    from medgan.phantoms.paired_imaging import CLEAN
    from medgan.seeding import numpy_generator
    from medgan.volume import Quantity

    paths = {name: out / f"phantom_{name}" for name in ("mr.nii.gz", "ct.nii.gz", "comparison.png")}
    results = {name: out / f"phantom_mr_sct.{name}" for name in ("nii.gz", "json", "png")}
    require_absent([*paths.values(), *results.values()], overwrite=overwrite)
    out.mkdir(parents=True, exist_ok=True)
    console.notice("Drawing a head phantom: one anatomy, seen by MR and by CT.")
    phantom = head_phantom(
        generator=numpy_generator(SEED, "demo"), shape=SHAPE, spacing_mm=SPACING_MM, acquisition=CLEAN
    )
    write_volume(phantom.mr, paths["mr.nii.gz"], overwrite=overwrite)
    write_volume(phantom.ct, paths["ct.nii.gz"], overwrite=overwrite)
    console.notice(f"Translating its MR with {MODEL}.")
    translate(
        paths["mr.nii.gz"],
        model=MODEL,
        out=results["nii.gz"],
        modality="mr",
        device=device,
        precision=precision,
        overwrite=overwrite,
        console=console,
    )
    result = read_volume(results["nii.gz"], quantity=Quantity.HOUNSFIELD)
    comparison, mask_words, _ = compared(
        result=result, reference=phantom.ct, mask=phantom.body, preset="corrected", resample_reference=False
    )
    title = "Head phantom: MR, synthetic CT, true CT, error"
    picture = comparison_picture(
        source=phantom.mr, result=result, reference=phantom.ct, body=phantom.body, mask=phantom.body, title=title
    )
    write_bytes(paths["comparison.png"], picture, overwrite=overwrite)
    references = _references(phantom)
    mae = float(comparison.value("mae") or 0.0)
    files = [str(path) for path in (*paths.values(), *results.values())]
    lines = [
        f"Mean absolute error in the body: {mae:.1f} HU by {MODEL}, {references['constant']:.1f} HU for a body filled "
        f"with its median, {references['table']:.1f} HU for the phantom's own tissue table applied voxel by voxel.",
        "Written:",
        *(f"  {file}" for file in files),
        f"Look at {paths['comparison.png']}.",
    ]
    return {
        "model": MODEL,
        "mask": mask_words,
        "mae_hu": mae,
        "mae_constant_hu": references["constant"],
        "mae_table_hu": references["table"],
        "comparison": comparison.as_dict(),
        "files": files,
        "picture": str(paths["comparison.png"]),
        "lines": lines,
    }


def _references(phantom: Any) -> dict[str, float]:
    """Return the error of a constant and of the tissue table in the phantom's body, in HU."""
    import numpy as np

    from medgan.phantoms.tissue_table import TISSUE_TABLE

    body = phantom.body.mask()
    truth = phantom.ct.array[body]
    table = TISSUE_TABLE.translated(phantom.mr.array[body] / (phantom.mr_scale * phantom.bias_field[body]))
    constant = float(np.median(truth))
    return {
        "table": float(np.abs(table - truth).mean()),
        "constant": float(np.abs(constant - truth).mean()),
    }
