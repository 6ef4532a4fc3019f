"""A trained model as a folder: facts, weights and a card; no pickle, no code."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import ValidationError

from medgan.errors import BundleError
from medgan.inference.bundle_facts import FACTS, CommonFacts, TranslationFacts
from medgan.preprocessing.intensity import IntensityMap
from medgan.preprocessing.recipe import Recipe

if TYPE_CHECKING:
    import torch

FACTS_FILE, WEIGHTS_FILE, CARD_FILE = "bundle.json", "weights.safetensors", "MODEL_CARD.md"
FORMAT = 1


FactsT = TypeVar("FactsT", bound=CommonFacts)


@dataclass(frozen=True)
class ModelBundle(Generic[FactsT]):
    """A checked bundle.

    Attributes
    ----------
    facts : CommonFacts
        Of the class that the task has in :data:`~medgan.inference.bundle_facts.FACTS`.
    folder : Path
    """

    facts: FactsT
    folder: Path

    @classmethod
    def load(cls, folder: Path) -> ModelBundle[Any]:
        """Read and check a bundle; torch is not needed.

        Raises
        ------
        BundleError
            If a file is absent, the facts have unknown, missing or wrong keys, or the weights are not the ones meant.
        """
        for name in (FACTS_FILE, WEIGHTS_FILE, CARD_FILE):
            if not (folder / name).is_file():
                raise BundleError(
                    f"A model bundle needs {FACTS_FILE}, {WEIGHTS_FILE} and {CARD_FILE}: {folder.name} has no {name}."
                )
        try:
            raw = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise BundleError(f"{FACTS_FILE} of {folder.name} must be JSON: {error}.") from None
        if isinstance(raw, dict) and raw.get("format") != FORMAT:
            raise BundleError(
                f"Bundle {folder.name} must have format {FORMAT}: found {raw.get('format')!r}. "
                "It was written by another version of medgan."
            )
        try:
            facts: Any = _facts_class(raw, folder.name).model_validate(raw)
            facts.require_usable()
        except ValidationError as error:
            raise BundleError(f"{FACTS_FILE} of {folder.name} is not valid: {_faults(error)}.") from None
        found = hashlib.sha256((folder / WEIGHTS_FILE).read_bytes()).hexdigest()
        if found != facts.weights_sha256:
            raise BundleError(
                f"{WEIGHTS_FILE} of {folder.name} must have SHA-256 {facts.weights_sha256[:12]}…: found {found[:12]}…. "
                "The file is damaged or belongs to another bundle."
            )
        return cls(facts, folder)

    @classmethod
    def write(
        cls, folder: Path, *, facts: Mapping[str, Any], weights: Mapping[str, torch.Tensor], card: str
    ) -> ModelBundle[Any]:
        """Write a new bundle under a temporary name, check it, and rename it.

        Parameters
        ----------
        folder : Path
            Must not exist.
        facts : mapping
            All of the task's facts but ``format``, ``weights_sha256`` and ``medgan_version``.
        weights : mapping of str to tensor
            State of the network.
        card : str
            Text of the model card.

        Raises
        ------
        BundleError
            If the folder exists or the facts are not valid.
        """
        from safetensors.torch import save

        from medgan import __version__

        if folder.exists():
            raise BundleError(f"A bundle is never overwritten: {folder.name} exists.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            data = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
            (temporary / WEIGHTS_FILE).write_bytes(data)
            full = {
                "format": FORMAT,
                **facts,
                "weights_sha256": hashlib.sha256(data).hexdigest(),
                "medgan_version": __version__,
            }
            try:
                checked: Any = _facts_class(full, folder.name).model_validate(full)
                text = checked.model_dump_json(indent=1)
            except ValidationError as error:
                raise BundleError(f"The facts of bundle {folder.name} are not valid: {_faults(error)}.") from None
            (temporary / FACTS_FILE).write_text(text + "\n", encoding="utf-8")
            (temporary / CARD_FILE).write_text(card, encoding="utf-8")
            cls.load(temporary).network()
            temporary.chmod(0o755)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return cls.load(folder)

    @property
    def recipe(self) -> Recipe:
        """Recipe that prepares a source image; of a translation model."""
        return Recipe.from_json(self._of_translation().recipe)

    @property
    def target_map(self) -> IntensityMap:
        """Map between target values and the network's output; of a translation model."""
        return IntensityMap(knots=self._of_translation().target_knots)

    def _of_translation(self) -> TranslationFacts:
        if not isinstance(self.facts, TranslationFacts):
            raise BundleError(f"A translation model is needed: {self.facts.name} is for {self.facts.task}.")
        return self.facts

    @property
    def card(self) -> str:
        """Text of the model card."""
        return (self.folder / CARD_FILE).read_text(encoding="utf-8")

    def network(self) -> torch.nn.Module:
        """Build the network with its weights, in evaluation mode, float32, on the CPU.

        Raises
        ------
        BundleError
            If the network is unknown, its settings do not fit, or a weight is missing, unknown, or of another shape.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load

        from medgan.networks.table import NETWORKS

        name, settings = self.facts.network.name, self.facts.network.settings
        if name not in NETWORKS:
            raise BundleError(
                f"A bundle's network must be one of {', '.join(NETWORKS)}: {self.facts.name} asks for {name!r}."
            )
        try:
            network = NETWORKS[name](**settings)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BundleError(f"The network {name} of bundle {self.facts.name} cannot be built: {error}.") from None
        try:
            weights = load((self.folder / WEIGHTS_FILE).read_bytes())
        except SafetensorError as error:
            raise BundleError(f"{WEIGHTS_FILE} of bundle {self.facts.name} is no safetensors file: {error}.") from None
        wanted = network.state_dict()
        faults = [f"{key} is missing" for key in wanted if key not in weights]
        faults += [f"{key} is unknown" for key in weights if key not in wanted]
        faults += [
            f"{key} has shape {tuple(weights[key].shape)}, not {tuple(wanted[key].shape)}"
            for key in wanted
            if key in weights and weights[key].shape != wanted[key].shape
        ]
        if faults:
            raise BundleError(
                f"The weights of bundle {self.facts.name} do not fit its network: {'; '.join(faults[:5])}."
            )
        network.load_state_dict({key: tensor.float() for key, tensor in weights.items()})
        return network.eval().requires_grad_(False)


def embedded_folder() -> Path:
    """Return the folder of the bundles that come with medgan."""
    return Path(__file__).resolve().parent.parent / "bundles"


def embedded_names() -> tuple[str, ...]:
    """Return the names of the bundles that come with medgan, sorted."""
    return tuple(sorted(file.parent.name for file in embedded_folder().glob(f"*/{FACTS_FILE}")))


def find_bundle(name_or_folder: str, *, task: str | None = None) -> ModelBundle[Any]:
    """Return an embedded bundle by name, or the bundle in a folder.

    Parameters
    ----------
    name_or_folder : str
    task : str, optional
        What the model must be for.

    Raises
    ------
    BundleError
        If there is neither (the message lists the names), or it is a model for another task.
    """
    bundle = _found(name_or_folder)
    if task is not None and bundle.facts.task != task:
        raise BundleError(
            f"A model for {task} is needed: {bundle.facts.name} is for {bundle.facts.task}. "
            "`medgan models list` shows what each model is for."
        )
    return bundle


def _found(name_or_folder: str) -> ModelBundle[Any]:
    folder = Path(name_or_folder)
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name_or_folder) and name_or_folder in embedded_names():
        return ModelBundle.load(embedded_folder() / name_or_folder)
    if folder.is_dir():
        return ModelBundle.load(folder)
    known = ", ".join(embedded_names()) or "none"
    raise BundleError(
        f"A model must be an embedded name ({known}) or a folder with {FACTS_FILE}: found {folder.name!r}."
    )


def _facts_class(raw: Any, folder_name: str) -> type[CommonFacts]:
    if not isinstance(raw, dict):
        raise BundleError(f"{FACTS_FILE} of {folder_name} is not valid: it must hold one JSON object.")
    task = raw.get("task")
    if not isinstance(task, str) or task not in FACTS:
        raise BundleError(f"A bundle's task must be one of {', '.join(FACTS)}: {folder_name} says {task!r}.")
    return FACTS[task]


def _faults(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'facts'}: {e['msg']}" for e in error.errors()[:6])
