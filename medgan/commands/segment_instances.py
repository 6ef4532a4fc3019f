"""Instances of a stack of any size by a model for boundaries: what ``medgan segment`` does where the task is that."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.console import Console
from medgan.commands.evaluate_instances import numbers_of
from medgan.errors import SettingsError

if TYPE_CHECKING:
    from medgan.commands.segment import SegmentRequest


def segment_stack(request: SegmentRequest) -> dict[str, Any]:
    """Serve ``medgan segment`` where the model is one for boundaries.

    Parameters
    ----------
    request : SegmentRequest
        ``out`` is the store; without one it is named after the stack, in the working directory.

    Returns
    -------
    dict
        As :func:`segment_instances`.

    Raises
    ------
    SettingsError
        Without a stack, or for options that only images of patients have.
    MedganError
        As :func:`segment_instances`.
    """
    request.require_unused(
        "channels", "align", "allow_gap", "assume_axes", because="segments stacks of sections in one channel"
    )
    if request.source is None:
        raise SettingsError("A stack is needed: OME-Zarr, Zarr, file.h5:/path or a folder of sections.")
    return segment_instances(
        str(request.source),
        model=str(request.bundle.folder),
        out=request.out or Path(f"{_stem(str(request.source))}_instances.zarr"),
        voxel_size_zyx_nm=numbers_of(request.voxel_size, option="--voxel-size", whole=False),
        block_zyx=numbers_of(request.block, option="--block", whole=True),
        device=request.device,
        precision="float32" if request.precision == "auto" else request.precision,
        overwrite=request.overwrite,
        console=request.console,
    )


def stack_lines(facts: dict[str, Any]) -> list[str]:
    """Return a segmented stack for people."""
    z, y, x = facts["shape_zyx"]
    return [f"{facts['instances']} instances in {z} x {y} x {x} voxels (z, y, x)", facts["output"]]


def _stem(source: str) -> str:
    store, _, inside = source.partition(":/")
    name = Path(store).name
    stem = name.removesuffix(".zarr").removesuffix(".h5").removesuffix(".hdf5").removesuffix(".ome")
    return "_".join([stem, *(part for part in inside.split("/") if part)])


def segment_instances(
    image: str | Path,
    *,
    model: str,
    out: Path,
    voxel_size_zyx_nm: Sequence[float] | None = None,
    block_zyx: Sequence[float] | None = None,
    overlap: int = 16,
    device: str = "auto",
    precision: str = "float32",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Segment a stack and write its instances as OME-Zarr, uint64, with a pyramid.

    Parameters
    ----------
    image : str or Path
        OME-Zarr, Zarr, ``file.h5:/path`` or a folder of sections.
    model : str
        Name or folder of a bundle of the task ``boundaries``.
    out : Path
        ``.zarr``; until it is complete it is named ``.zarr.partial``.
    voxel_size_zyx_nm : three floats, optional
        Where the stack does not state it.
    block_zyx : three whole numbers, optional
        Memory is bounded by a block and its overlap; 128 voxels along each axis if not given. Rounded up to whole
        chunks.
    overlap : int
        Voxels around a block that its watershed sees.
    device, precision : str
        Float32 unless asked for otherwise: thresholds were chosen with it.
    overwrite : bool
    console : Console

    Returns
    -------
    dict
        Output, model, and the number of instances.

    Raises
    ------
    MedganError
        If stack, model or output are refused; nothing is left behind then.
    """
    from medgan.commands.devices import resolve_device
    from medgan.formats.chunked import open_chunked
    from medgan.formats.ome_zarr_write import CHUNK, create_ome_zarr
    from medgan.inference.block_counts import require_some_signal
    from medgan.inference.bundle import find_bundle
    from medgan.inference.instance_segmentation import InstanceSegmenter

    bundle = find_bundle(model, task="boundaries")
    source = open_chunked(image, voxel_size_zyx_nm=voxel_size_zyx_nm)
    segmenter = InstanceSegmenter(bundle, device=resolve_device(device), precision=precision)
    segmenter.require_segmentable(source, source.label)
    require_some_signal(source, source.label, box_ijk=(256, 256, 64))
    wanted = [int(n) for n in (block_zyx or (128, 128, 128))][::-1]
    block = tuple(-(-n // chunk) * chunk for n, chunk in zip(wanted, CHUNK))
    provenance = source.provenance.then("segment", model=bundle.facts.name, weights=bundle.facts.weights_sha256)
    output = create_ome_zarr(
        out, source.grid, np.uint64, provenance=provenance, quantity=None, chunk_ijk=CHUNK, overwrite=overwrite
    )
    try:
        with console.progress("segmenting") as advance:
            count = segmenter.segment(
                source,
                write=output.write,
                read=output.read,
                block=block,  # type: ignore[arg-type]
                overlap=overlap,
                label=source.label,
                progress=advance,
            )
        output.add_pyramid()
        path = output.completed(overwrite=overwrite)
    finally:
        shutil.rmtree(output.partial, ignore_errors=True)
    return {
        "output": str(path),
        "source": source.label,
        "model": {"name": bundle.facts.name, "weights_sha256": bundle.facts.weights_sha256},
        "instances": count,
        "shape_zyx": list(source.grid.shape[::-1]),
        "voxel_size_zyx_nm": list(source.grid.spacing[::-1]),
    }
