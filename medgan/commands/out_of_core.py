"""``medgan translate`` for stacks of any size: block by block, by any number of workers, to the bits of the whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.console import Console
from medgan.commands.out_of_core_hands import Hands
from medgan.commands.out_of_core_run import Tally, done_by, in_figures
from medgan.errors import OutputError, SettingsError
from medgan.inference.block_grid import BlockGrid

if TYPE_CHECKING:
    from medgan.commands.out_of_core_store import BlockStore

TASK = "em_contrast"
DONE, DONE_IN_PART = 0, 3
"""Exit codes."""


def translate_blocks(
    image: str | Path,
    *,
    model: str | None,
    out: Path | None,
    voxel_size_zyx_nm: Sequence[float] | None = None,
    block_zyx: Sequence[float] | None = None,
    hands: Hands | None = None,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Translate a stack into another contrast and write it as OME-Zarr with a pyramid.

    Parameters
    ----------
    image : str or Path
        OME-Zarr, Zarr, ``file.h5:/path`` or a folder of sections.
    model : str
        Name or folder of a bundle of the task ``em_contrast``.
    out : Path
        ``.zarr``; until it is complete it is named ``.zarr.partial``, with the manifest of its blocks beside it.
    voxel_size_zyx_nm : three floats, optional
        Where the stack does not state it.
    block_zyx : three whole numbers, optional
        Memory of a worker is bounded by a block and its halo; 128,256,256, or what an earlier call took, if not given.
        Rounded up to whole chunks of the output.
    hands : Hands, optional
        Who works; one process a core if not given.
    device, precision : str
        ``auto`` is float32: the bits must not depend on what a machine is faster with.
    overwrite : bool
        Replace an image that medgan wrote, when the new one is complete.
    console : Console

    Returns
    -------
    dict
        Output, whether it is complete, numbers of blocks, each that failed with its reason.

    Raises
    ------
    MedganError
        If stack, model, options or output are refused, or an earlier call had other settings; nothing new is left
        behind then. A block that fails raises nothing: it is named.
    """
    from medgan.commands.devices import resolve_device
    from medgan.commands.out_of_core_store import BlockStore, require_apart, rounded
    from medgan.formats.chunked import open_chunked
    from medgan.inference.bundle import find_bundle
    from medgan.inference.contrast_translation import ContrastTranslator
    from medgan.volume.side_by_side import usable_cores

    if model is None:
        raise SettingsError("A stack needs a model of the task em_contrast: name its folder by --model.")
    if out is None:
        raise SettingsError("A stack is written to a store: name it by --out, such as --out translated.zarr.")
    hands = hands or Hands()
    chosen, settled = resolve_device(device), "float32" if precision == "auto" else precision
    processes = hands.processes(chosen, usable_cores())
    bundle = find_bundle(model, task=TASK)
    source = open_chunked(image, voxel_size_zyx_nm=voxel_size_zyx_nm)
    require_apart(image, out)
    block = None if block_zyx is None else rounded(block_zyx)
    notices = _notices(block, block_zyx)
    with _one_thread():
        translator = ContrastTranslator(bundle, device=chosen, precision=settled)
        translator.require_translatable(source, source.label)
        store = BlockStore(source, translator, out.resolve(), block, chosen, settled, overwrite)
        if store.is_complete():
            return _facts(store, out, None, None, notices, complete=True)
        for notice in notices:
            console.notice(notice)
        try:
            blocks, tally, complete = _translated(store, hands, processes, console)
        except OutputError:
            # Others may have completed it since this call looked.
            if not store.is_result:
                raise
            return _facts(store, out, None, None, notices, complete=True)
    return _facts(store, out, blocks, tally, notices, complete=complete)


def _translated(store: BlockStore, hands: Hands, processes: int, console: Console) -> tuple[BlockGrid, Tally, bool]:
    from medgan.inference.block_translation import BlockTranslation

    manifest, blocks = store.opened()
    rules = hands.rules()
    store.prepare(manifest, blocks, rules, console)
    model = str(store.translator.bundle.folder.resolve())
    work = BlockTranslation(store.source, model, store.out, manifest.folder, blocks, store.device, store.precision)
    tally = done_by(
        hands,
        work,
        manifest,
        blocks.keys,
        processes=processes,
        rules=rules,
        words="translating blocks",
        name_of=lambda key: f"block {blocks.in_words(key)}",
        console=console,
    )
    return blocks, tally, tally.is_complete and store.completed(manifest, rules, console)


def exit_code_of(facts: dict[str, Any]) -> int:
    """Return 0 where nothing is left for this call to do, 3 where blocks failed or nobody works on them."""
    return DONE_IN_PART if facts["failed"] or facts["untried"] else DONE


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the outcome for people: the store, or what is missing and how to go on."""
    if not facts["blocks"]:
        return ["It is complete already: nothing was done.", facts["output"]]
    lines = [
        f"{facts['blocks_done']} of {facts['blocks']} blocks done, {facts['translated']} of them now"
        + (f" at {in_figures(facts['voxels_per_second'])} voxels a second" if facts["voxels_per_second"] else "")
    ]
    lines += [f"failed: block {each['block']}: {each['reason']}" for each in facts["failed"]]
    if facts["running"]:
        lines.append(f"Others work on {facts['running']} more; whoever is last completes the store.")
    if facts["untried"]:
        lines.append(f"Not begun: {facts['untried']}. {' '.join(facts['events'])}".rstrip())
    if facts["failed"] or facts["untried"]:
        lines.append("What is done is kept: the same command does the missing blocks only.")
    return [*lines, facts["output"]]


def _facts(
    store: BlockStore,
    shown: Path,
    blocks: BlockGrid | None,
    tally: Tally | None,
    notices: Sequence[str],
    *,
    complete: bool,
) -> dict[str, Any]:
    model = store.translator.facts
    here = () if tally is None else tally.done_here
    voxels = 0 if blocks is None else sum(_voxels(blocks, key) for key in here)
    failed = {} if tally is None else tally.failed
    return {
        "output": str(shown if complete else shown.with_name(store.partial.name)),
        "complete": complete,
        "source": store.source.label,
        "model": {"name": model.name, "weights_sha256": model.weights_sha256},
        "shape_zyx": list(store.source.grid.shape[::-1]),
        "voxel_size_zyx_nm": list(store.source.grid.spacing[::-1]),
        "block_zyx": None if blocks is None else list(blocks.block_ijk[::-1]),
        "precision": store.precision,
        "blocks": 0 if blocks is None else len(blocks.keys),
        "blocks_done": 0 if tally is None else len(tally.done),
        "translated": len(here),
        "failed": [
            {"block": blocks.in_words(key) if blocks else key, "reason": reason} for key, reason in failed.items()
        ],
        "running": 0 if tally is None else len(tally.running),
        "untried": 0 if tally is None else len(tally.untried),
        "events": [] if tally is None else [*tally.stopped, *tally.events],
        "voxels_per_second": round(voxels / tally.seconds) if tally is not None and voxels else None,
        "seconds": None if tally is None else round(tally.seconds, 3),
        "notices": list(notices),
    }


def _voxels(blocks: BlockGrid, key: str) -> int:
    i, j, k = blocks.box(key).shape
    return i * j * k


def _notices(block_ijk: tuple[int, int, int] | None, asked_zyx: Sequence[float] | None) -> list[str]:
    if block_ijk is None or asked_zyx is None or list(block_ijk[::-1]) == [int(n) for n in asked_zyx]:
        return []
    asked, made = (",".join(f"{int(n)}" for n in numbers) for numbers in (asked_zyx, block_ijk[::-1]))
    return [f"--block {asked} is taken as {made}: whole chunks of the output, so that no two blocks write one."]


@contextmanager
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
