"""What the report of a study of contrast translation says of its trainings: curves, events, settings, digests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medgan.commands.em_study import Training, experiment_of, run_folder
from medgan.commands.study import Study

if TYPE_CHECKING:
    from medgan.commands.em_study_settings import EmStudySettings
    from medgan.reporting.sections import Section

ARM_TITLES = {"none": "CycleGAN", "mask": "SECGAN, mask", "both": "SECGAN, both", "separate": "SECGAN, separate"}


def arm_title(settings: EmStudySettings, arm: str) -> str:
    """Return how an arm is called in tables."""
    return ARM_TITLES.get(settings.arms[arm].segmentation, arm)


def training_sections(study: Study, settings: EmStudySettings, every: Sequence[Training]) -> Iterator[Section]:
    """Yield the sections about the trainings, also of those that are not finished."""
    yield from _curves(study, settings, every)
    yield _events(study, every)
    yield from _digests(study, every)
    yield _settings(study, settings)


def _metrics(study: Study, training: Training) -> list[dict[str, Any]]:
    path = run_folder(study, training) / "metrics.jsonl"
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _curves(study: Study, settings: EmStudySettings, every: Sequence[Training]) -> Iterator[Section]:
    from medgan.reporting.charts import training_curves
    from medgan.reporting.sections import FigureSection

    for training in every:
        rows = [row for row in _metrics(study, training) if row.get("event") == "losses"]
        if training.seed != settings.seeds[0] or not rows:
            continue
        # A restart begins at step 1 again: its steps are no continuation of those before.
        attempt = max(row["attempt"] for row in rows)
        rows = [row for row in rows if row["attempt"] == attempt]
        again = f", attempt {attempt + 1}" if attempt else ""
        names = [name for name in rows[-1] if name not in ("event", "attempt", "step", "total")]
        groups: dict[str, list[str]] = {}
        for name in names:
            groups.setdefault(name.split("_")[0], []).append(name)
        png = training_curves(rows, groups={"total": ["total"], **groups})
        yield FigureSection(
            f"Curves: {arm_title(settings, training.arm)}, seed {training.seed}{again}", png,
            alternative="Loss terms over the steps of the training",
        )  # fmt: skip


def _events(study: Study, every: Sequence[Training]) -> Section:
    from medgan.reporting.sections import TableSection

    rows = []
    for training in every:
        checks = [row for row in _metrics(study, training) if row.get("event") == "guard"]
        result = run_folder(study, training) / "result.json"
        chosen = json.loads(result.read_text(encoding="utf-8")).get("chosen") if result.is_file() else None
        step = chosen.get("step") if isinstance(chosen, dict) else None
        violated = [f"step {row['step']} of attempt {row['attempt'] + 1}" for row in checks if row["violated"]]
        rows.append(
            (
                training.name,
                f"{checks[-1]['correlation']:+.2f}" if checks else "–",
                "; ".join(violated) or "none",
                "–" if step is None else str(step),
            )
        )
    return TableSection(
        "Polarity and choice of checkpoints",
        ("Training", "Last rank correlation", "Inversions, each a restart of everything", "Chosen step"),
        rows,
        caption="Rank correlation of image and translation; its sign is the polarity. Checkpoints are chosen by the "
        "round trip of labeled validation data; the truth of the unlabeled domain is never seen.",
        text_columns=frozenset({0, 2}),
    )


def _digests(study: Study, every: Sequence[Training]) -> Iterator[Section]:
    from medgan.inference.bundle import find_bundle
    from medgan.reporting.sections import TableSection

    rows = []
    for training in every:
        folder = run_folder(study, training) / "bundle"
        if folder.is_dir():
            facts = find_bundle(str(folder)).facts
            rows.append((training.name, facts.weights_sha256, facts.training.config_sha256))
    if rows:
        columns = ("Training", "Weights, SHA-256", "Configuration, SHA-256")
        yield TableSection("Digests", columns, rows, text_columns=frozenset({0, 1, 2}))


def _settings(study: Study, settings: EmStudySettings) -> Section:
    """Return every setting by its dotted name; where arms differ, with each arm's value."""
    from medgan.reporting.sections import TableSection

    steps = {} if settings.steps is None else {"secgan.steps": settings.steps}
    arms = {
        arm_title(settings, arm): {**flat(experiment_of(study, one).model_dump(mode="json")), **steps}
        for arm, one in settings.arms.items()
    }
    rows = []
    for name in dict.fromkeys(name for values in arms.values() for name in values if name != "seed"):
        found = {arm: _value(values.get(name)) for arm, values in arms.items()}
        one = set(found.values())
        rows.append((name, one.pop() if len(one) == 1 else "; ".join(f"{arm}: {v}" for arm, v in found.items())))
    return TableSection("Settings", ("Setting", "Value"), rows, text_columns=frozenset({0, 1}))


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested settings by dotted names.

    Examples
    --------
    >>> flat({"steps": 4, "patch": {"shape_zyx": [3, 5, 5], "batch": 1}})
    {'steps': 4, 'patch.shape_zyx': [3, 5, 5], 'patch.batch': 1}
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{before}{name}.")
        else:
            found[f"{before}{name}"] = value
    return found


def _value(value: Any) -> str:
    return "–" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
