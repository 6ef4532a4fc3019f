"""A study of counterfactual explanations as settings: its arms, their data and their models."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from medgan.commands.chest_data_settings import ChestDataSettings
from medgan.commands.explanation_settings import ExplainSettings


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StudyModel(_Section):
    """One model of an arm: embedded or a folder, or trained here.

    Parameters
    ----------
    bundle : str, optional
        An embedded name, or a folder beside the configuration.
    config : str, optional
        Training configuration beside the study's; trained into the study folder.
    run : str, optional
        Run folder beside the configuration that is used instead of a training, where it is finished and was begun with
        the same configuration.
    """

    bundle: str | None = None
    config: str | None = None
    run: str | None = None

    @model_validator(mode="after")
    def _one(self) -> StudyModel:
        if (self.bundle is None) == (self.config is None):
            raise ValueError("a model has either a bundle or a config to train it by")
        if self.run is not None and self.config is None:
            raise ValueError("a run needs the config that it was begun with")
        return self


class StudyArm(_Section):
    """One classifier that is explained.

    Parameters
    ----------
    title : str
    data : ChestDataSettings
        What classifier and translator were trained on; the test split is explained.
    classifier, translator : StudyModel
    second : StudyModel, optional
    labels : mapping of str to StudyModel
        Classifiers of labels that should stay constant under translation; the probability of their second class counts.
    """

    title: str
    data: ChestDataSettings
    classifier: StudyModel
    translator: StudyModel
    second: StudyModel | None = None
    labels: dict[str, StudyModel] = Field(default_factory=dict)


class ExplanationStudySettings(_Section):
    """A study: arms by name, and how all are explained.

    Parameters
    ----------
    arms : mapping of str to StudyArm
        Names are folders.
    explain : ExplainSettings
    probes : int
        Validation images that strengths of transforms are chosen on, at most.
    """

    arms: dict[str, StudyArm] = Field(min_length=1)
    explain: ExplainSettings = ExplainSettings()
    probes: int = Field(default=400, ge=4)
