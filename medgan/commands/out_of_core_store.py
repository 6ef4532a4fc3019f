"""The store that a stack's translation is written to by many hands: begun once, filled by blocks, completed once."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.console import Console
from medgan.errors import OutputError
from medgan.formats.chunked import ChunkedSource
from medgan.formats.chunked_array import located
from medgan.formats.ome_zarr import ome_attributes
from medgan.formats.ome_zarr_write import (
    CHUNK,
    create_ome_zarr,
    partial_path,
    reopen_ome_zarr,
    require_absent_store,
)
from medgan.formats.output import write_bytes
from medgan.inference.block_counts import COUNTS_FILE, read_counts, require_some_signal, section_counts
from medgan.inference.block_grid import BlockGrid, Index3, whole_chunks
from medgan.inference.block_manifest import BlockManifest
from medgan.inference.block_work import POLL_S, Rules
from medgan.inference.bundle import FACTS_FILE
from medgan.volume import Provenance
from medgan.volume.volume import STORED_TYPES

if TYPE_CHECKING:
    from medgan.inference.contrast_translation import ContrastTranslator

BLOCK: Index3 = (256, 256, 128)
"""Voxels (x, y, z) of a block where none is asked for."""
PREPARED, RECOUNTED, COMPLETED = "prepared", "recounted", "completed"
"""Entries of the manifest that are no blocks: each is done by one of all workers, while the others wait."""
_ALWAYS = 1_000_000


@dataclass(frozen=True, eq=False)
class BlockStore:
    """An output on its way, with what it is made from.

    Parameters
    ----------
    source : ChunkedSource
    translator : ContrastTranslator
    out : Path
    block_ijk : (I, J, K) or None
        As asked for; None takes that of an earlier call, or :data:`BLOCK`.
    device, precision : str
    overwrite : bool
    """

    source: ChunkedSource = field(repr=False)
    translator: ContrastTranslator = field(repr=False)
    out: Path
    block_ijk: Index3 | None
    device: str
    precision: str
    overwrite: bool = False

    @property
    def partial(self) -> Path:
        """Name of the store until it is complete."""
        return partial_path(self.out)

    @property
    def manifest_folder(self) -> Path:
        """Folder of the manifest, beside the output."""
        return self.out.with_name(f"{self.out.name}.manifest")

    @property
    def provenance(self) -> Provenance:
        """Where the result comes from; the same for every block size and every kind of worker."""
        model = self.translator.facts
        return self.source.provenance.synthesized(
            "translate",
            model=model.name,
            weights=model.weights_sha256,
            matching=model.matching,
            precision=self.precision,
            source=self.source.label,
        )

    def facts(self, block_ijk: Index3) -> dict[str, Any]:
        """Return what every worker and every restart must agree on."""
        from medgan import __version__

        model = self.translator.facts
        bundle_file = self.translator.bundle.folder / FACTS_FILE
        return {
            "kind": "blocks of a translated stack",
            "source": self.source.label,
            "source_sha256": self.source.provenance.sources[0],
            "shape_zyx": list(self.source.grid.shape[::-1]),
            "voxel_size_zyx_nm": list(self.source.grid.spacing[::-1]),
            "type": str(self.source.array.dtype),
            "model": model.name,
            "weights_sha256": model.weights_sha256,
            "model_sha256": hashlib.sha256(bundle_file.read_bytes()).hexdigest(),
            "device": self.device.partition(":")[0],
            "precision": self.precision,
            "block_zyx": list(block_ijk[::-1]),
            "medgan": __version__,
        }

    @property
    def is_result(self) -> bool:
        """Whether what has the output's name was made of this source by this model."""
        return self.out.exists() and _provenance_in(self.out) == self.provenance.as_dict()

    def is_complete(self) -> bool:
        """Tell whether the output is there and is what would be made now; a manifest that a kill left is removed.

        Raises
        ------
        OutputError
            If something else is in its place and may not be replaced.
        """
        if not self.out.exists() or (self.overwrite and not self.manifest_folder.exists()):
            require_absent_store(self.out, overwrite=self.overwrite)
            return False
        if self.partial.exists() or not self.is_result:
            # Of another kind, or being made anew with --overwrite.
            require_absent_store(self.out, overwrite=self.overwrite)
            return False
        BlockManifest(self.manifest_folder).remove()
        return True

    def opened(self) -> tuple[BlockManifest, BlockGrid]:
        """Begin the manifest, or open the one that is there.

        Raises
        ------
        OutputError
            If an unfinished output of another kind is in the way, or the manifest was begun with other settings.
        """
        partial, folder = self.partial, self.manifest_folder
        # Whoever makes the partial store has made the manifest before.
        if partial.exists() and not folder.exists() and partial.exists():
            raise OutputError(
                f"{partial.name} exists without {folder.name}: it is of another kind of run. Remove it, or choose "
                "another --out."
            )
        block = self.block_ijk
        if block is None and folder.exists():
            earlier = BlockManifest(folder).facts.get("block_zyx")
            block = tuple(int(n) for n in earlier)[::-1] if earlier else None  # type: ignore[assignment]
        # No larger than the volume, so that two ways to ask for one block are one setting.
        largest = whole_chunks(self.source.grid.shape, CHUNK)
        i, j, k = (min(b, n) for b, n in zip(block or BLOCK, largest))
        manifest = BlockManifest.opened(folder, self.facts((i, j, k)))
        return manifest, BlockGrid(self.source.grid.shape, (i, j, k))

    def prepare(self, manifest: BlockManifest, blocks: BlockGrid, rules: Rules, console: Console) -> None:
        """Count gray values where they are matched, and make the store; one worker does it, the others wait.

        Raises
        ------
        MedganError
            If the source is all zero, cannot be read at all, or the store cannot be made; nothing is left behind.
        """
        if not manifest.is_done(PREPARED):
            self._by_one(manifest, PREPARED, rules, lambda: self._begin(manifest, blocks, console))
        counts = read_counts(manifest.folder)
        if counts is None or not counts.unreadable or manifest.done_facts(PREPARED)["run"] == rules.run:
            return
        key = f"{RECOUNTED}.{rules.run}"
        if not manifest.is_done(key):
            self._by_one(manifest, key, rules, lambda: self._count(manifest, blocks, console))

    def completed(self, manifest: BlockManifest, rules: Rules, console: Console) -> bool:
        """Make the pyramid and give the store its name, unless somebody else does; return whether it has it.

        Raises
        ------
        OutputError
            If it cannot be written; what is done is kept.
        """
        while manifest.is_there:
            claim = manifest.claim(COMPLETED, run=rules.run, tries=_ALWAYS)
            if claim is None:
                if not rules.waits:
                    return self.out.exists() and not manifest.is_there
                time.sleep(POLL_S)
                continue
            try:
                with claim.renewed():
                    self._complete(console)
            except BaseException:
                claim.release()
                raise
            manifest.remove()
            return True
        return self.out.exists()

    def _by_one(self, manifest: BlockManifest, key: str, rules: Rules, do: Any) -> None:
        while not manifest.is_done(key):
            claim = manifest.claim(key, run=rules.run, tries=_ALWAYS)
            if claim is None:
                if not manifest.is_there:
                    raise OutputError(
                        f"{self.out.name} was given up by another worker, which says why: run the command again."
                    )
                time.sleep(POLL_S)
                continue
            try:
                with claim.renewed():
                    do()
                claim.finish({"run": rules.run})
            except BaseException as error:
                claim.release()
                if key == PREPARED and isinstance(error, Exception):
                    shutil.rmtree(self.partial, ignore_errors=True)
                    manifest.remove()
                raise

    def _begin(self, manifest: BlockManifest, blocks: BlockGrid, console: Console) -> None:
        # One that was killed here may have left half a store.
        shutil.rmtree(self.partial, ignore_errors=True)
        if self.translator.facts.matching == "none":
            require_some_signal(self.source, self.source.label, box_ijk=blocks.block_ijk)
        else:
            self._count(manifest, blocks, console)
        dtype = np.dtype(self.source.array.dtype)
        create_ome_zarr(
            self.out,
            self.source.grid,
            dtype if dtype in STORED_TYPES else np.float32,
            provenance=self.provenance,
            quantity=self.source.quantity,
            chunk_ijk=CHUNK,
            overwrite=self.overwrite,
        )

    def _count(self, manifest: BlockManifest, blocks: BlockGrid, console: Console) -> None:
        known = read_counts(manifest.folder)
        with console.progress("counting gray values") as advance:
            counts = section_counts(self.source, box_ijk=blocks.block_ijk, known=known, progress=advance)
        if counts.unreadable and self.translator.facts.matching != "sections":
            # All sections depend on all voxels.
            counts.require(np.array(sorted(counts.unreadable)))
        write_bytes(manifest.folder / COUNTS_FILE, counts.as_bytes(), overwrite=True)

    def _complete(self, console: Console) -> None:
        partial = self.partial
        if not partial.exists() and self.out.exists():
            # A worker that was killed had come as far as this.
            return
        output = reopen_ome_zarr(self.out, self.source.grid)
        with console.progress("pyramid") as advance:
            output.add_pyramid(advance)
        for left_over in partial.rglob("*.partial"):
            # Half a chunk of a worker that was killed; its block was written again.
            left_over.unlink(missing_ok=True)
        output.completed(overwrite=self.overwrite)


def require_apart(image: str | Path, out: Path) -> None:
    """Refuse an output that lies in the input, holds it, or is it.

    Raises
    ------
    OutputError
    """
    place = located(image)
    source = place.path.resolve()
    for target in (out.resolve(), partial_path(out.resolve())):
        if target == source or target in source.parents or (source in target.parents and place.path.is_dir()):
            raise OutputError(
                f"{out.name} overlaps the input {place.label}: a translation is written beside its source, never into "
                "it. Choose another --out."
            )


def _provenance_in(store: Path) -> Any:
    import zarr
    from zarr.storage import LocalStore

    try:
        attributes: Any = dict(zarr.open_group(LocalStore(store, read_only=True), mode="r").attrs)
        return attributes["medgan"]["provenance"] if ome_attributes(attributes) is not None else None
    except Exception:  # whatever it is, it is no result of medgan's
        return None


def rounded(block_zyx: Sequence[float]) -> Index3:
    """Return the block (x, y, z) of whole chunks for one that was asked for."""
    return whole_chunks([int(n) for n in block_zyx][::-1], CHUNK)
