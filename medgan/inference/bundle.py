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
from medgan.inference.bundle_facts import CommonFacts, NetworkFacts, TranslationFacts
from medgan.inference.facts_table import FACTS
from medgan.preprocessing.intensity import IntensityMap
from medgan.preprocessing.recipe import Recipe

if TYPE_CHECKING:
    import torch

FACTS_FILE, WEIGHTS_FILE, CARD_FILE = "bundle.json", "weights.safetensors", "MODEL_CARD.md"
RETURN_WEIGHTS_FILE = "return_weights.safetensors"
"""Of the generator from target to source, in a translation model that has one."""
FORMAT = 1


FactsT = TypeVar("FactsT", bound=CommonFacts)


@dataclass(frozen=True)
class ModelBundle(Generic[FactsT]):
    """A checked bundle.

    Attributes
    ----------
    facts : CommonFacts
        Of the class that the task has in :data:`~medgan.inference.facts_table.FACTS`.
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
        _require_digest(folder / WEIGHTS_FILE, facts.weights_sha256)
        if isinstance(facts, TranslationFacts) and facts.return_weights_sha256 is not None:
            _require_digest(folder / RETURN_WEIGHTS_FILE, facts.return_weights_sha256)
        return cls(facts, folder)

    @classmethod
    def write(
        cls,
        folder: Path,
        *,
        facts: Mapping[str, Any],
        weights: Mapping[str, torch.Tensor],
        card: str,
        return_weights: Mapping[str, torch.Tensor] | None = None,
    ) -> ModelBundle[Any]:
        """Write a new bundle under a temporary name, check it, and rename it.

        Parameters
        ----------
        folder : Path
            Must not exist.
        facts : mapping
            All of the task's facts but ``format``, the digests of weights and ``medgan_version``.
        weights : mapping of str to tensor
            State of the network.
        card : str
            Text of the model card.
        return_weights : mapping of str to tensor, optional
            State of the ``return_network`` of a translation model.

        Raises
        ------
        BundleError
            If the folder exists or the facts are not valid.
        """
        from medgan import __version__

        if folder.exists():
            raise BundleError(f"A bundle is never overwritten: {folder.name} exists.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            full = {
                "format": FORMAT,
                **facts,
                "weights_sha256": _saved(weights, temporary / WEIGHTS_FILE),
                "medgan_version": __version__,
            }
            if return_weights is not None:
                full["return_weights_sha256"] = _saved(return_weights, temporary / RETURN_WEIGHTS_FILE)
            try:
                checked: Any = _facts_class(full, folder.name).model_validate(full)
                text = checked.model_dump_json(indent=1)
            except ValidationError as error:
                raise BundleError(f"The facts of bundle {folder.name} are not valid: {_faults(error)}.") from None
            (temporary / FACTS_FILE).write_text(text + "\n", encoding="utf-8")
            (temporary / CARD_FILE).write_text(card, encoding="utf-8")
            written = cls.load(temporary)
            written.network()
            if return_weights is not None:
                written.return_network()
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
            If the network is unknown, its settings do not fit, or a weight is missing, unknown, of another shape, or
            not finite.
        """
        return self._built(self.facts.network, WEIGHTS_FILE)

    def return_network(self) -> torch.nn.Module | None:
        """Build the generator from target to source as :meth:`network`, None where the bundle has none."""
        wanted = self._of_translation().return_network
        return None if wanted is None else self._built(wanted, RETURN_WEIGHTS_FILE)

    def _built(self, wanted_network: NetworkFacts, weights_file: str) -> torch.nn.Module:
        from safetensors import SafetensorError
        from safetensors.torch import load

        from medgan.networks.table import NETWORKS

        name, settings = wanted_network.name, wanted_network.settings
        if name not in NETWORKS:
            raise BundleError(
                f"A bundle's network must be one of {', '.join(NETWORKS)}: {self.facts.name} asks for {name!r}."
            )
        try:
            network = NETWORKS[name](**settings)
        except (TypeError, ValueError, RuntimeError) as error:
            raise BundleError(f"The network {name} of bundle {self.facts.name} cannot be built: {error}.") from None
        try:
            weights = load((self.folder / weights_file).read_bytes())
        except SafetensorError as error:
            raise BundleError(f"{weights_file} of bundle {self.facts.name} is no safetensors file: {error}.") from None
        wanted = network.state_dict()
        faults = [f"{key} is missing" for key in wanted if key not in weights]
        faults += [f"{key} is unknown" for key in weights if key not in wanted]
        faults += [
            f"{key} has shape {tuple(weights[key].shape)}, not {tuple(wanted[key].shape)}"
            for key in wanted
            if key in weights and weights[key].shape != wanted[key].shape
        ]
        faults += [f"{key} holds NaN or infinity" for key, tensor in weights.items() if not tensor.isfinite().all()]
        if faults:
            raise BundleError(
                f"{'The weights' if weights_file == WEIGHTS_FILE else weights_file} of bundle {self.facts.name} "
                f"do not fit its network: {'; '.join(faults[:5])}."
            )
        network.load_state_dict({key: tensor.float() for key, tensor in weights.items()})
        return network.eval().requires_grad_(False)


def _require_digest(file: Path, wanted: str) -> None:
    if not file.is_file():
        raise BundleError(f"The facts of bundle {file.parent.name} name a {file.name}: there is none.")
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    if found != wanted:
        raise BundleError(
            f"{file.name} of {file.parent.name} must have SHA-256 {wanted[:12]}…: found {found[:12]}…. "
            "The file is damaged or belongs to another bundle."
        )


def _saved(weights: Mapping[str, torch.Tensor], file: Path) -> str:
    """Write weights to a new file and return its SHA-256."""
    from safetensors.torch import save

    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
    file.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def embedded_folder() -> Path:
    """Return the folder of the bundles that come with medgan."""
    return Path(__file__).resolve().parent.parent / "bundles"


def embedded_names(*, task: str | None = None) -> tuple[str, ...]:
    """Return the names of the bundles that come with medgan, sorted; of one task if it is given."""
    names = sorted(file.parent.name for file in embedded_folder().glob(f"*/{FACTS_FILE}"))
    return tuple(name for name in names if task is None or find_bundle(name).facts.task == task)


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
