"""Read configuration files: strict, all errors at once, each with the setting that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ValidationError

from medgan.errors import SettingsError

Settings = TypeVar("Settings", bound=BaseModel)


def read_yaml(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Return a configuration file as plain values, with ``a.b=c`` overrides applied.

    Parameters
    ----------
    path : Path
        YAML file.
    overrides : sequence of str
        Each ``dotted.name=value``; the value is read as YAML.

    Raises
    ------
    SettingsError
        If the file is absent, is not YAML or not a mapping, or an override is not of that form.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import MarkedYAMLError, YAMLError

    if not path.is_file():
        raise SettingsError(f"A configuration needs a file: there is no {path.name}.")
    for override in overrides:
        name, equals, _ = override.partition("=")
        if not equals or not name.strip():
            raise SettingsError(f"An override has the form name=value, such as training.steps=100: found {override!r}.")
    try:
        loaded = OmegaConf.load(path)
        if not OmegaConf.is_dict(loaded):
            raise SettingsError(f"{path.name} must be a mapping of settings: found a list or a single value.")
    except MarkedYAMLError as error:
        # The mark's own text holds the absolute path.
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{path.name} must be YAML: {error.problem or error.context}{line}.") from None
    except OSError as error:
        reason = error.strerror or "it holds a number, not a mapping"
        raise SettingsError(f"{path.name} must be a readable YAML file: {reason}.") from None
    except (YAMLError, UnicodeDecodeError, OmegaConfBaseException) as error:
        raise SettingsError(f"{path.name} must be YAML: {' '.join(str(error).split()).removesuffix('.')}.") from None
    try:
        merged = OmegaConf.merge(loaded, OmegaConf.from_dotlist(list(overrides)))
        values = OmegaConf.to_container(merged, resolve=True, throw_on_missing=True)
    except TypeError:
        # OmegaConf merges mappings into mappings only, and lists have no names for single elements.
        raise SettingsError(
            f"An override of {path.name} names a setting inside a list or a single value: "
            "replace the list whole, as in name=[1,2]."
        ) from None
    except (YAMLError, OmegaConfBaseException) as error:
        words = " ".join(str(error).split()).removesuffix(".")
        raise SettingsError(f"{path.name} with its overrides must be settings: {words}.") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path.name} must be a mapping of settings: found {type(values).__name__}.")
    return {str(name): value for name, value in values.items()}


def checked(values: dict[str, Any], model: type[Settings], *, name: str) -> Settings:
    """Return values as settings of a model.

    Raises
    ------
    SettingsError
        With one line for every fault: unknown settings with what was probably meant, missing ones, and wrong values.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(fault, model) for fault in error.errors()]
        intro = (
            f"{name}: {lines[0]}" if len(lines) == 1 else f"{name} has {len(lines)} faults:\n- " + "\n- ".join(lines)
        )
        raise SettingsError(intro) from None


def meant(word: str, known: Sequence[str]) -> str:
    """Return a sentence that names the closest known word, or all of them.

    Examples
    --------
    >>> meant("identiy", ["cycle", "identity"])
    "Did you mean 'identity'? Known: cycle, identity."
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    guess = f"Did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(known)}."


def _sentence(fault: Any, model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"{where} is not a setting. {meant(str(fault['loc'][-1]), list(_siblings(fault['loc'], model)))}"
    if fault["type"] in ("missing", "missing_argument", "missing_keyword_only_argument"):
        return f"{where} is missing."
    if fault["type"] == "union_tag_not_found":
        return f"{where} must say its kind: {fault['ctx']['discriminator'].strip(chr(39))} is missing."
    if fault["type"] == "union_tag_invalid":
        field, tag = fault["ctx"]["discriminator"].strip("'"), fault["ctx"]["tag"]
        known = [word.strip("' ") for word in fault["ctx"]["expected_tags"].split(",")]
        return f"{where}.{field} is {tag!r}, which is not known. {meant(tag, known)}"
    message = fault["msg"].removeprefix("Value error, ").removesuffix(".")
    found = "" if isinstance(fault["input"], dict | list) else f": found {fault['input']!r}"
    return f"{where}{': ' if where else ''}{message}{'' if 'found' in message else found}."


def _siblings(loc: tuple[int | str, ...], model: Any) -> Iterator[str]:
    """Yield the names that are known beside the last part of ``loc``, walking down from ``model``."""
    candidates = [model]
    for part in loc[:-1]:
        deeper: list[Any] = []
        for candidate in candidates:
            if isinstance(part, str) and part in _fields(candidate):
                deeper.extend(_classes_in(_fields(candidate)[part]))
        tagged = [c for c in candidates if isinstance(part, str) and part in _tags(c)]
        # A list index or a union's tag does not change which classes are meant, but a tag picks one of them.
        candidates = deeper or tagged or candidates
    for candidate in candidates:
        yield from _fields(candidate)


def _fields(cls: Any) -> dict[str, Any]:
    fields = getattr(cls, "model_fields", None) or getattr(cls, "__pydantic_fields__", None)
    if fields:
        return {name: field.annotation for name, field in fields.items()}
    if not (is_dataclass(cls) and isinstance(cls, type)):
        return {}
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in dataclass_fields(cls)}


def _tags(cls: Any) -> tuple[Any, ...]:
    return tuple(tag for annotation in _fields(cls).values() for tag in get_args(annotation) if isinstance(tag, str))


def _classes_in(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and _fields(annotation):
        return [annotation]
    return [cls for part in get_args(annotation) for cls in _classes_in(part)]
