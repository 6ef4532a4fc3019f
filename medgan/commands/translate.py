"""``medgan translate``: one volume in, its translation on the same grid out, with a sidecar and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from medgan.commands.console import Console
from medgan.commands.image_input import found_image
from medgan.commands.translate_files import (
    OutputPaths,
    require_outputs,
    result_grid,
    sidecar_of,
    write_translation,
)
from medgan.commands.uncollected_imports import uncollected_imports
from medgan.errors import BundleError, FormatError, SettingsError
from medgan.volume import Quantity, Volume

if TYPE_CHECKING:
    from medgan.formats import ImageFile
    from medgan.geometry import Grid
    from medgan.inference.bundle import ModelBundle
    from medgan.inference.bundle_facts import TranslationFacts
    from medgan.inference.translator import Translation
    from medgan.inference.uncertainty import Uncertainty

DEFAULT_MODEL = "mr-to-ct"
"""Model that is used when none is named; it ships once one trained on real scans is good enough."""
CT_LIKE_PERCENTILE = 2.0
CT_LIKE_VALUE = -150.0
"""A volume whose second percentile lies below this is in HU, not MR signal."""


@dataclass(frozen=True)
class TrustOptions:
    """What is computed beside a translation: nothing, or maps of uncertainty, with the help of further models."""

    uncertainty: bool = False
    members: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.members and not self.uncertainty:
            raise SettingsError("--member names a model that judges another by --uncertainty: pass both.")

    def bundles_beside(self, bundle: ModelBundle[TranslationFacts]) -> tuple[ModelBundle[TranslationFacts], ...]:
        """Return the members' bundles; none is loaded that cannot judge this one.

        Raises
        ------
        BundleError, InferenceError
        """
        if not self.members:
            return ()
        from medgan.inference.uncertainty import require_member

        bundles = tuple(chosen_bundle(member) for member in self.members)
        for member in bundles:
            require_member(bundle, member)
        return bundles


def translate(
    image: Path,
    *,
    model: str | None = None,
    out: Path | None = None,
    modality: str | None = None,
    series: int | None = None,
    allow_gap: bool = False,
    orthogonal: bool = False,
    assume_axes: bool = False,
    uncertainty: bool = False,
    members: Sequence[str] = (),
    whole: bool = False,
    device: str = "auto",
    precision: str = "auto",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Translate one image.

    Parameters
    ----------
    image : Path
        Volume in a supported format; a DICOM folder, file, zip or DICOMDIR.
    model : str, optional
        Name or folder; the default model if not given.
    out : Path, optional
        File (with a suffix) or folder; the working directory if not given.
    modality : str, optional
        ``"mr"`` or ``"ct"``: what the file holds.
    series : int, optional
        Which image of several, as ``medgan inspect`` numbers them.
    allow_gap : bool
        Interpolate one missing slice.
    orthogonal : bool
        Give the result of a sheared image (tilted gantry) on axes at right angles instead of the image's own.
    assume_axes, overwrite : bool
    uncertainty : bool
        Write maps of what flips and members change, and of what does not come back, as well.
    members : sequence of str
        Names or folders of further models for it.
    whole : bool
        Run the network once over the body's box, not patch by patch.
    device, precision : str
    console : Console

    Returns
    -------
    dict
        What the sidecar holds, and the paths under ``outputs``.

    Raises
    ------
    MedganError
        If the model, the file or an output is refused; nothing is written then.
    """
    trust = TrustOptions(uncertainty, tuple(members))
    bundle = chosen_bundle(model)
    facts = bundle.facts
    judges = trust.bundles_beside(bundle)
    _require_modality(modality, facts)
    item = found_image(image, series=series, allow_gap=allow_gap, console=console)
    paths = OutputPaths.beside(image, out=out, suffix=facts.target.domain, stem=item.name)
    require_outputs(paths, maps=trust.uncertainty, overwrite=overwrite)

    file = item.read(quantity=Quantity.named(facts.source.quantity), allow_gap=allow_gap, assume_axes=assume_axes)
    grid = result_grid(file.volume.grid, paths.volume, orthogonal=orthogonal)
    notices = [*file.notices, *_declared(item.label, file, facts, modality)]
    for notice in notices:
        console.notice(f"{item.label}: {notice}")

    translation, maps, run_facts = _translated(
        file.volume,
        bundle,
        grid=grid,
        members=judges if trust.uncertainty else None,
        whole=whole,
        device=device,
        precision=precision,
        console=console,
    )
    computed = [*translation.notices, *(maps.notices if maps is not None else ())]
    for notice in computed:
        console.notice(f"{item.label}: {notice}")
    # In the sidecar a case is not named: what names it is the file's name.
    check, about = translation.domain_check, {"model": facts.name, "trained_anatomy": facts.trained_anatomy}
    if (warning := _domain_warning(item.label, check, about)) is not None:
        console.notice(warning)
    sidecar = sidecar_of(
        file,
        bundle,
        translation,
        warning=_domain_warning("this image", check, about),
        uncertainty=maps,
        notices=[*notices, *computed],
        run_facts=run_facts,
    )
    write_translation(paths, translation, file.volume, sidecar, uncertainty=maps, overwrite=overwrite)
    return {**sidecar, "outputs": {name: str(path) for name, path in paths.written(maps).items()}}


def _domain_warning(name: str, check: Any, about: dict[str, str]) -> str | None:
    from medgan.inference.domain_check import domain_warning

    return domain_warning(name, check, **about)


def chosen_bundle(model: str | None) -> ModelBundle[TranslationFacts]:
    """Return the named model, or the default one.

    Raises
    ------
    BundleError
        If there is none; the message lists the models.
    """
    from medgan.inference.bundle import embedded_names, find_bundle

    if model is None and DEFAULT_MODEL not in embedded_names():
        known = ", ".join(embedded_names(task="translation")) or "none"
        raise BundleError(
            f"Name a model with --model: no model trained on real scans comes with medgan yet. Embedded: {known} "
            "(trained on phantoms: for trying things out, not for scans); or give the folder of a bundle of your own."
        )
    return find_bundle(model or DEFAULT_MODEL, task="translation")


def _require_modality(modality: str | None, facts: TranslationFacts) -> None:
    if modality is None:
        return
    if modality.lower() not in ("mr", "ct"):
        raise SettingsError(f"A modality must be mr or ct: found {modality!r}.")
    if modality.upper() != facts.source.modality:
        raise SettingsError(
            f"Model {facts.name} takes {facts.source.modality}, not {modality.upper()}: choose another model."
        )


def _declared(name: str, file: ImageFile, facts: TranslationFacts, modality: str | None) -> list[str]:
    """Return the notice that the modality was assumed; refuse values that contradict it.

    Raises
    ------
    FormatError
        If the file says or looks as if it held another modality, and ``modality`` does not overrule it.
    """
    wanted = facts.source.modality
    if modality is not None:
        return []
    if file.modality_hint is not None and file.modality_hint.upper() != wanted:
        raise FormatError(
            f"{name}: model {facts.name} takes {wanted}, and the file says that it holds {file.modality_hint}. "
            f"If that is wrong, pass --modality {wanted.lower()}."
        )
    low = float(np.percentile(file.volume.array, CT_LIKE_PERCENTILE))
    if wanted == "MR" and low < CT_LIKE_VALUE:
        raise FormatError(
            f"{name}: model {facts.name} takes MR, whose signal is not negative: {CT_LIKE_PERCENTILE:g} % of the "
            f"values lie below {low:.0f}, as in a CT in HU. If it is MR all the same, pass --modality mr."
        )
    if file.modality_hint is not None:
        return []
    return [f"the format does not say what it holds; it is taken as {wanted}, which the model translates."]


def _translated(
    volume: Volume,
    bundle: ModelBundle[TranslationFacts],
    *,
    grid: Grid,
    members: Sequence[ModelBundle[TranslationFacts]] | None,
    whole: bool,
    device: str,
    precision: str,
    console: Console,
) -> tuple[Translation, Uncertainty | None, dict[str, Any]]:
    import time

    with uncollected_imports():
        import torch

        from medgan.commands.devices import resolve_device
        from medgan.inference.translator import Translator
        from medgan.inference.uncertainty import uncertainty_of
        from medgan.training.precision import resolve_precision

    chosen = resolve_device(device)
    record = resolve_precision(precision, device=chosen)
    translator = Translator(bundle, device=chosen, precision=record.precision, whole=whole)
    with console.progress("translating") as advance:
        translation = translator.translation_of(volume, grid=grid, progress=advance)
    maps = None
    if members is not None:
        begun = time.perf_counter()
        judges = [Translator(each, device=chosen, precision=record.precision, whole=whole) for each in members]
        with console.progress("judging") as advance:
            maps = uncertainty_of(translation, translator=translator, members=judges, progress=advance)
        translation.seconds["uncertainty"] = round(time.perf_counter() - begun, 3)
    run_facts = {
        "whole": whole,
        "device": chosen,
        "threads": torch.get_num_threads(),
        "precision": record.as_dict(),
    }
    return translation, maps, run_facts
