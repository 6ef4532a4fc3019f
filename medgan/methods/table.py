"""Where a method's name in a configuration becomes code."""

from __future__ import annotations

from typing import Any

from medgan.methods.cyclegan import CYCLEGAN, CycleGANSettings
from medgan.training.loop import Method

METHODS: dict[str, Method[Any, Any, Any]] = {"cyclegan": CYCLEGAN}

SETTINGS: dict[str, type] = {"cyclegan": CycleGANSettings}
