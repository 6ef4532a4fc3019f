"""A study of contrast translation as settings: its segmenter, its arms, its seeds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

Checkpoint = Literal["chosen", "last"]
Segmentation = Literal["none", "mask", "both", "separate"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyArm(_Section):
    """One way to train the translation.

    Parameters
    ----------
    config : str
        Training configuration beside the study's; all arms must name the same data and segmenter.
    segmentation : str
        How the frozen segmenter takes part; ``none`` is a CycleGAN.
    """

    config: str
    segmentation: Segmentation


class EmStudySettings(_Section):
    """A study of contrast translation.

    Parameters
    ----------
    title : str
    segmenter : str
        Training configuration, beside the study's, of the frozen segmenter; it is trained where the arms look for it.
    arms : mapping of str to StudyArm
        Names are folders.
    baseline : str
        The arm that the others are compared with.
    seeds : tuple of int
    steps : int, optional
        Of every training, in place of the configurations' own.
    checkpoints : tuple of str
        Which weights of each training are measured: ``chosen`` by its own rule, ``last`` those after all steps.
    block_zyx : three integers, optional
        Measures are given for every block of the test stack as well, and pooled; the whole stack if not given.
    limits : tuple of str
        What can not be concluded.
    """

    title: str
    segmenter: str
    arms: dict[str, StudyArm] = Field(min_length=1)
    baseline: str
    seeds: tuple[int, ...] = Field(min_length=1)
    steps: PositiveInt | None = None
    checkpoints: tuple[Checkpoint, ...] = Field(default=("chosen",), min_length=1)
    block_zyx: tuple[PositiveInt, PositiveInt, PositiveInt] | None = None
    limits: tuple[str, ...] = ()
