"""``medgan explain``: why did the classifier say so, case by case and for the cohort."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgan.commands.explanation_request import ExplanationRequest, report_before, request_digest
from medgan.commands.explanation_settings import ExplainSettings
from medgan.errors import CohortError, SettingsError

if TYPE_CHECKING:
    from medgan.commands.console import Console
    from medgan.commands.explanation_cases import ExplainedDirection
    from medgan.explanation.explanation import CohortResult

NO_LABELS = (
    "True classes are not known: each radiograph is explained as what the classifier says it is, and rates are about "
    "the classifier's own classes."
)
OUTSIDE = "OUTSIDE THE MODELS' DOMAIN"
NO_SUBJECTS = "Subjects are not known: each image counts as its own, so intervals may be too narrow."


def explain(
    images: Sequence[Path],
    *,
    classifier: str | None = None,
    translator: str | None = None,
    second_classifier: str | None = None,
    cohort: Path | None = None,
    data_root: Path | None = None,
    out: Path | None,
    settings: ExplainSettings | None = None,
    accept_domain: bool = False,
    trust_code: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Explain radiographs and write a report.

    Parameters
    ----------
    images : sequence of Path
        PNG, JPEG or DICOM radiographs.
    classifier, translator, second_classifier : str, optional
        Embedded names or folders; without, the embedded demonstration models.
    cohort : Path, optional
        CSV list of radiographs, instead of ``images``.
    data_root : Path, optional
        Where the list's paths start from.
    out : Path
        Folder of the report; it has to be named.
    settings : ExplainSettings, optional
    accept_domain : bool
        Go on with radiographs that the models were not made for.
    trust_code : bool
        Run the classifier's own code.
    device : str
    overwrite : bool
        Replace a report of another request.
    console : Console

    Returns
    -------
    dict
        What was written, rates and refusals; ``exit_code`` 3 where some radiographs of a list were refused.

    Raises
    ------
    MedganError
        If a model, an image or the folder is refused; nothing is written then.
    """
    from medgan.commands.devices import resolve_device
    from medgan.commands.explanation_images import listed_radiographs, named_images, read_images
    from medgan.commands.explanation_models import opened_models

    if bool(images) == (cohort is not None):
        raise SettingsError("Name radiographs, or a list of them with --cohort, and not both.")
    if out is None:
        raise SettingsError("A report needs a folder: name it by --out.")
    rows = named_images(images) if cohort is None else listed_radiographs(cohort, data_root=data_root)
    models = opened_models(
        classifier, translator, second_classifier, trust_code=trust_code, device=resolve_device(device)
    )
    for model in (models.classifier, models.second):
        for notice in model.notices if model is not None else ():
            console.notice(notice)
    read = read_images(
        rows,
        models.classifier.domain,
        classes=models.classifier.class_names,
        model=models.classifier.name,
        accept_domain=accept_domain,
        is_list=cohort is not None,
        console=console,
    )
    return explained_report(
        ExplanationRequest(
            models=models,
            cohort=read,
            settings=settings or ExplainSettings(),
            folder=out,
            title=f"Why did {models.classifier.name} say so?",
            overwrite=overwrite,
        ),
        console=console,
    )


def settings_of(*, methods: Sequence[str] = (), **chosen: Any) -> ExplainSettings:
    """Return settings from the command line's options.

    Raises
    ------
    SettingsError
        If one is not valid.
    """
    from medgan.commands.explanation_settings import PUBLISHED_METHODS
    from medgan.settings import checked

    names = tuple(dict.fromkeys(methods)) or PUBLISHED_METHODS
    lead = "d_ig" if "d_ig" in names else names[0]
    return checked({"methods": names, "lead": lead, **chosen}, ExplainSettings, name="The options")


def explained_report(request: ExplanationRequest, *, console: Console) -> dict[str, Any]:
    """Explain the radiographs of a request and write its report; an interrupted one continues.

    Raises
    ------
    OutputError
        If the folder holds a report of another request.
    ExplanationError
        If the classifier may not be explained.
    CohortError
        If no radiograph has one of the translator's classes.
    """
    import numpy as np

    from medgan.commands.explanation_cases import directions_of, explained_direction, strengths, tensor_of
    from medgan.commands.explanation_evidence import cohort_evidence, flip_kinds, labels_known
    from medgan.commands.explanation_models import looked_at
    from medgan.commands.explanation_output import MAPS, write_request
    from medgan.commands.explanation_truth import agreements
    from medgan.training.precision import resolve_precision

    models, settings, images = request.models, request.settings, request.cohort.images
    precision = resolve_precision(settings.precision, device=models.classifier.device).precision
    digest = request_digest(request, precision)
    before = report_before(request, digest)
    if before is not None:
        console.notice(f"{request.folder.name} is finished: this very report is there.")
        return before
    report = looked_at(models, np.stack([one.image for one in images]), settings.methods)
    for finding in report.failures:
        console.notice(f"preflight, {finding.rule}: {finding.reason}")
    queries = directions_of(models, images)
    if not any(queries.values()):
        raise CohortError(
            f"{models.translator.name} translates between {' and '.join(models.translator.classes)}: no radiograph "
            "is of either class."
        )
    write_request(request.folder, digest)
    real = request.probes if request.probes is not None else tensor_of(images)
    chosen = strengths(models, real, settings)
    directions: list[ExplainedDirection] = []
    for (source, target), places in queries.items():
        if not places:
            continue
        gallery, names = _gallery(request, target, queries)
        directions.append(
            explained_direction(
                models,
                [images[n] for n in places],
                source=source,
                target=target,
                gallery=gallery,
                gallery_names=names,
                transforms=chosen.used,
                report=report,
                settings=settings,
                precision=precision,
                folder=request.folder / MAPS,
                request=digest,
                console=console,
            )
        )
    console.notice("cohort: rates, controls, atlas, tests")
    result = cohort_evidence(
        models,
        directions,
        settings=settings,
        reference=request.reference,
        knows_labels=labels_known(images),
    )
    kinds = {one.found.direction: flip_kinds(one) for one in directions}
    agreed = agreements(directions, settings)
    return _written(request, directions, result, kinds, chosen, report, agreed, digest, precision)


def _gallery(
    request: ExplanationRequest, target: int, queries: dict[tuple[int, int], list[int]]
) -> tuple[Any, tuple[str, ...]]:
    """Return real images of the target class that the classifier gets right, with their names."""
    import torch

    from medgan.commands.explanation_cases import tensor_of

    models = request.models
    size = models.classifier.domain.input_size
    if request.gallery is not None:
        images, names = request.gallery[models.classifier.class_names[target]]
    else:
        chosen = [request.cohort.images[n] for key, places in queries.items() if key[0] == target for n in places]
        if not chosen:
            return torch.empty((0, 1, *size)), ()
        images, names = tensor_of(chosen), tuple(one.case_id for one in chosen)
    right = models.scored.probabilities(images, batch=request.settings.batch).argmax(1) == target
    return images[right], tuple(name for name, ok in zip(names, right.tolist()) if ok)


def _written(
    request: ExplanationRequest,
    directions: Sequence[ExplainedDirection],
    result: CohortResult,
    kinds: dict[str, Any],
    chosen: Any,
    report: Any,
    agreed: Any,
    digest: str,
    precision: str,
) -> dict[str, Any]:
    from medgan.commands.explanation_evidence import labels_known
    from medgan.commands.explanation_output import CASES, PAGE, TABLES, cases_json, write_tables
    from medgan.commands.explanation_page import agreement_table, method_titles, rendered_page
    from medgan.formats import write_bytes
    from medgan.reporting import explanation_tables as tables

    folder, cohort, models = request.folder, request.cohort, request.models
    cases = [case for one in directions for case in one.cases]
    notices = [*request.notices]
    if not labels_known(cohort.images):
        notices.append(NO_LABELS)
    if not cohort.knows_subjects:
        notices.append(NO_SUBJECTS)
    asked = models.translator.asked
    if asked is not None and asked.weights_sha256 != models.classifier.weights_sha256:
        notices.append(
            f"{models.translator.name} was trained with the term of another classifier ({asked.name}) than the one "
            "that is explained."
        )
    outside = sum(one.facts.get("in_domain") is False for one in cohort.images)
    stamps = (*models.stamps, OUTSIDE) if outside else models.stamps
    if outside:
        notices.append(
            f"{outside} of {len(cohort.images)} radiographs are outside the models' domain; that was accepted. What is "
            "said about them means nothing by itself."
        )
    if cohort.refused:
        notices.append(f"{len(cohort.refused)} radiographs were refused: {', '.join(cohort.refused)}.")
    shared: dict[str, Any] = {
        "cases": cases,
        "result": result,
        "kinds": kinds,
        "strengths": chosen,
        "report": report,
        "models": models.facts(),
        "agreements": agreed,
        "notices": notices,
        "refused": cohort.refused,
        "request": digest,
    }
    titles = method_titles(cases)
    sections = [
        tables.success_table(result),
        tables.flip_table(kinds),
        tables.method_table(result.methods, titles),
        tables.alternative_table(result),
        tables.control_table(result.controls),
        tables.equivalence_table(result.equivalence),
        tables.calibration_table(result.calibration),
        *(tables.localization_table(one) for one in result.localization),
        *(tables.atlas_table(one) for one in result.atlas),
        *((agreement_table(agreed, titles),) if agreed else ()),
    ]
    write_bytes(folder / CASES, cases_json(**shared), overwrite=True)
    write_tables(folder / TABLES, cases, sections)
    facts = {
        "report": PAGE,
        "folder": folder.name,
        "cases": len(cases),
        "directions": {
            one.direction: {"flips": one.flips.as_dict(), "robust": kinds[one.direction]["robust"].as_dict()}
            for one in result.success
        },
        "verdicts": {direction: dict(counts) for direction, counts in result.verdicts.items()},
        "refused": dict(cohort.refused),
        "precision": precision,
        "stamps": list(stamps),
        "exit_code": 3 if cohort.refused else 0,
    }
    write_bytes(folder / "result.json", (json.dumps(facts, indent=1) + "\n").encode(), overwrite=True)
    page = rendered_page(
        title=request.title,
        subtitle=f"{len(cases)} cases explained, of {len(cohort.images)} radiographs",
        stamps=stamps,
        settings=request.settings,
        **shared,
    )
    write_bytes(folder / PAGE, page.encode(), overwrite=True)
    return facts


def explain_lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts of :func:`explain` as sentences."""
    from medgan.explanation.explanation import Rate

    lines = [f"{facts['folder']}/{facts['report']}: {facts['cases']} cases"]
    for direction, shares in facts["directions"].items():
        flips, robust = (Rate(shares[k]["count"], shares[k]["total"]).text for k in ("flips", "robust"))
        lines.append(f"{direction}: flips {flips}, robust {robust}")
        kinds = facts["verdicts"].get(direction, {})
        lines.append(f"{direction}: {', '.join(f'{count} {kind}' for kind, count in kinds.items())}")
    lines += [f"{case} refused: {sentence}" for case, sentence in facts["refused"].items()]
    lines += list(facts["stamps"])
    return [*lines, "Synthetic images. Not for diagnosis."]
