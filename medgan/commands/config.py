"""``medgan config``: show, check, schema."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def show_config(file: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], str]:
    """Return a configuration with every default filled in, as values and as YAML.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    import yaml

    from medgan.commands.training_settings import read_experiment

    experiment, _ = read_experiment(file, overrides)
    values = experiment.model_dump(mode="json")
    return values, yaml.safe_dump(values, sort_keys=False).rstrip()


def check_config(file: Path, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the method of a valid configuration.

    Raises
    ------
    SettingsError
        With every fault at once.
    """
    from medgan.commands.training_settings import read_experiment

    experiment, _ = read_experiment(file, overrides)
    return {"file": file.name, "valid": True, "method": experiment.method}


def config_schema(method: str) -> dict[str, Any]:
    """Return the JSON schema of a method's configuration.

    Raises
    ------
    SettingsError
        If the method is unknown.
    """
    from medgan.commands.training_settings import EXPERIMENTS
    from medgan.errors import SettingsError
    from medgan.settings import meant

    if method not in EXPERIMENTS:
        raise SettingsError(f"There is no method {method!r}. {meant(method, list(EXPERIMENTS))}")
    return EXPERIMENTS[method].model_json_schema()
