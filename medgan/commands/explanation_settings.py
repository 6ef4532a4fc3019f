"""How radiographs are explained, as settings: of ``medgan explain`` and of a study alike."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

PUBLISHED_METHODS = ("d_ig", "d_dl", "d_ingrad", "d_gc", "d_ggc")
"""Methods of Eckstein et al. 2021; residual and random always run beside them."""


class ExplainSettings(BaseModel):
    """Every free choice of an explanation; what is not published is marked (K), a free choice.

    Parameters
    ----------
    preset : str
        Published direction of everything: ``dapi`` (real into fake) or ``quac`` (fake into real).
    methods : list of str
        Attribution methods besides residual and random.
    lead : str
        Method whose mask, hybrid and curve are shown first.
    threshold : float
        Probability that both classes of a pair have to exceed.
    batch : int
        Images in a forward pass: bounds memory.
    precision : str
        Of the curves' forward passes: auto, float32 or bfloat16.
    seed : int
    limit : int or None
        Cases a direction that are explained (drawn by the seed, K); rates and controls count all. None: all.
    shown : int
        Cases of each direction and verdict whose images are in the page (the first by name, K).
    randomization : str or None
        Model-randomization check beside every map: ``full``, ``cascading``, or none.
    steps : int
        Nodes of integrated gradients.
    closing : bool
        Whether masks are closed.
    fine_areas, perturbation_steps : int
        Of the smallest flipping area, of insertion and deletion.
    keep : float
        Share of real images that a transform's strength has to leave in their class.
    fewest_for_strengths : int
        With fewer real images, strengths are not chosen but fixed: 8 bits, blur 0.35 px, JPEG 90, DICOM 12 bits (K).
    grid : (rows, columns)
        Regions on the body box.
    corner : float
        Side of the four corner squares of the restore test, as a share of the image (K); 0 for none.
    doses : int
    equivalence_bound : float
        Of the change of a probability that should stay constant (K).
    resamples : int
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    preset: Literal["dapi", "quac"] = "dapi"
    methods: tuple[str, ...] = PUBLISHED_METHODS
    lead: str = "d_ig"
    threshold: float = Field(default=0.8, ge=0.5, lt=1)
    batch: int = Field(default=32, ge=1)
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    seed: int = 0
    limit: int | None = Field(default=None, ge=1)
    shown: int = Field(default=12, ge=0)
    randomization: Literal["full", "cascading"] | None = "full"
    steps: int = Field(default=50, ge=4)
    closing: bool = True
    fine_areas: int = Field(default=40, ge=0)
    perturbation_steps: int = Field(default=20, ge=0)
    keep: float = Field(default=0.95, gt=0, le=1)
    fewest_for_strengths: int = Field(default=40, ge=1)
    grid: tuple[int, int] = (3, 2)
    corner: float = Field(default=0.2, ge=0, lt=0.5)
    doses: int = Field(default=11, ge=2)
    equivalence_bound: float = Field(default=0.1, gt=0)
    resamples: int = Field(default=2000, ge=100)

    @model_validator(mode="after")
    def _lead(self) -> ExplainSettings:
        if self.lead not in (*self.methods, "residual", "random"):
            raise ValueError(f"lead must be one of methods ({', '.join(self.methods)}): found {self.lead!r}")
        return self
