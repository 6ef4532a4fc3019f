"""`medgan train` for electron microscopy: segmenter, CycleGAN baseline and SECGAN; and SECGAN with a CT segmenter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medgan.commands.console import Console
from medgan.commands.em_data import em_study, fib25_bodies, gray_tables_for
from medgan.commands.train import train
from medgan.commands.train_secgan_choice import chosen_candidate
from medgan.commands.training_settings import read_experiment
from medgan.errors import BundleError, GeometryError, InferenceError, SettingsError
from medgan.evaluation.instances import instance_scores, overlaps
from medgan.formats.ome_zarr_write import write_ome_zarr
from medgan.geometry import Grid
from medgan.inference.bundle import find_bundle
from medgan.inference.contrast_translation import ContrastTranslator
from medgan.inference.instance_segmentation import InstanceSegmenter
from medgan.inference.translator import Translator
from medgan.phantoms.neurites import neurite_phantom
from medgan.volume import LabelMap

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
EM, CT = CONFIGS / "em_contrast", CONFIGS / "mr_to_ct"
QUIET = Console(quiet=True)


def run(config: Path, out: Path, *overrides: str, **options):
    return train(
        config, out=out, overrides=overrides, device="cpu", precision="float32", threads=1, console=QUIET, **options
    )


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "segmenter"
    run(EM / "smoke_segmenter.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def ct_segmenter(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "ct"
    run(CT / "ct_segmenter.yaml", folder, "boundaries.steps=4")
    return folder


@pytest.fixture(scope="module")
def study():
    experiment, _ = read_experiment(EM / "smoke_secgan.yaml")
    return em_study(experiment.data, config=EM / "smoke_secgan.yaml", data_root=None)


def test_a_segmenter_is_trained_and_its_watershed_chosen(segmenter, study):
    chosen = json.loads((segmenter / "watershed.json").read_text())
    assert len(chosen["tried"]) == 2
    assert chosen["chosen"]["voi"] == min(each["voi"] for each in chosen["tried"])
    bundle = find_bundle(str(segmenter / "bundle"), task="boundaries")
    assert bundle.facts.watershed.agglomeration == chosen["chosen"]["agglomeration"]
    assert bundle.facts.voxel_size_zyx_nm == (10, 10, 10)
    assert "VOI" in bundle.card
    labels = InstanceSegmenter(bundle).instances(study.validation.image).array
    truth = study.validation.instances.read(study.validation.image.grid.box).array
    found = instance_scores(overlaps(result=labels, reference=truth))
    nothing = instance_scores(overlaps(result=np.ones_like(labels), reference=truth))
    assert found.voi < nothing.voi


def test_a_finished_training_is_not_repeated(segmenter):
    before = (segmenter / "bundle/weights.safetensors").stat().st_mtime_ns
    result = run(EM / "smoke_segmenter.yaml", segmenter)
    assert result["steps"] == 24
    assert (segmenter / "bundle/weights.safetensors").stat().st_mtime_ns == before


def test_affinities_are_trained(tmp_path):
    pytest.importorskip("mwatershed")
    offsets = "boundaries.offsets_zyx=[[-1,0,0],[0,-1,0],[0,0,-1],[0,0,-4]]"
    run(
        EM / "smoke_segmenter.yaml",
        tmp_path / "run",
        offsets,
        "watershed.kind=mutex",
        "boundaries.steps=2",
        "tuning.bias=[0.0]",
        "augment.axes=none",
    )
    facts = find_bundle(str(tmp_path / "run/bundle")).facts
    assert facts.offsets == [(0, 0, -1), (0, -1, 0), (-1, 0, 0), (-4, 0, 0)]
    assert facts.watershed.kind == "mutex"


@pytest.mark.parametrize("mode", ["separate", "none"])
def test_secgan_and_its_baseline_are_trained_and_chosen_by_the_round_trip(segmenter, tmp_path, study, mode):
    overrides = (f"segmenter={segmenter}/bundle", f"secgan.segmentation={mode}")
    result = run(EM / "smoke_secgan.yaml", tmp_path / "run", *overrides)
    scores = [json.loads(file.read_text()) for file in sorted((tmp_path / "run/candidates").glob("*.json"))]
    assert [each["step"] for each in scores] == [3, 6]
    assert result["chosen"]["score"] == min(each["score"] for each in scores)
    assert ("discriminator_segmentation" in result["last_losses"]) == (mode == "separate")
    bundle = find_bundle(str(tmp_path / "run/bundle"), task="em_contrast")
    assert bundle.facts.halo == (4, 4, 4)
    translator = ContrastTranslator(bundle)
    translated = translator.translate(study.test.image)
    clean = study.test.clean.array
    # Six steps after section-wise matching: nearer to the labeled contrast than the raw stack, thanks to the matching.
    raw = np.abs(study.test.image.array.astype(float) - clean).mean()
    assert np.abs(translated.array.astype(float) - clean).mean() < raw
    assert translated.provenance.is_synthetic


def test_a_training_that_is_stopped_goes_on_to_the_same_weights(segmenter, tmp_path):
    place = f"segmenter={segmenter}/bundle"
    whole = run(EM / "smoke_secgan.yaml", tmp_path / "whole", place)

    class Stop(Exception):
        pass

    import medgan.commands.train_secgan_choice as choice

    original = choice.CandidateObserver.__call__

    def stopping(self, seen):
        original(self, seen)
        if seen.step == 3:
            raise Stop

    choice.CandidateObserver.__call__ = stopping
    try:
        with pytest.raises(Stop):
            run(EM / "smoke_secgan.yaml", tmp_path / "halves", place)
    finally:
        choice.CandidateObserver.__call__ = original
    halves = run(EM / "smoke_secgan.yaml", tmp_path / "halves", place)
    assert halves["weights_sha256"] == whole["weights_sha256"]
    assert halves["chosen"] == whole["chosen"]


def test_the_candidates_of_an_earlier_attempt_do_not_count(tmp_path):
    from safetensors.torch import save

    assert chosen_candidate(tmp_path) is None
    for attempt, step, score in ((0, 3, 0.1), (1, 3, 0.5), (1, 6, 0.5), (1, 9, 0.7)):
        name = f"attempt_{attempt:02d}_step_{step:07d}"
        (tmp_path / f"{name}.json").write_text(json.dumps({"attempt": attempt, "step": step, "score": score}))
        (tmp_path / f"{name}.safetensors").write_bytes(save({"step": torch.tensor([step])}))
    best, weights = chosen_candidate(tmp_path)
    assert (best["attempt"], best["step"]) == (1, 6)
    assert weights["step"].item() == 6


def test_a_segmenter_that_does_not_fit_is_refused_before_there_is_a_run(segmenter, ct_segmenter, tmp_path):
    config = EM / "smoke_secgan.yaml"
    cases = [
        ((f"segmenter={segmenter}/bundle", "data.voxel_size_zyx_nm=[40,10,10]"), InferenceError, "trained on voxels"),
        ((f"segmenter={segmenter}/bundle", "input_range=[0,200]"), InferenceError, "takes values from"),
        ((f"segmenter={ct_segmenter}/bundle",), InferenceError, "Stacks need a segmenter of boundaries"),
        (("segmenter=phantom-mr-to-ct",), BundleError, "boundaries or tissue"),
        (("segmenter=nowhere",), BundleError, "must be an embedded name"),
    ]
    for overrides, error, message in cases:
        with pytest.raises(error, match=message):
            run(config, tmp_path / "run", *overrides)
        assert not (tmp_path / "run").exists()
    with pytest.raises(InferenceError, match="Volumes need a segmenter of a tissue"):
        run(CT / "secgan.yaml", tmp_path / "run", f"segmenter={segmenter}/bundle")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("segmenter=null",), "needs segmenter"),
        (("segmenter=null", "secgan.segmentation=none"), "selection needs segmenter"),
        (("patch.shape_zyx=[16,24,24]",), "patches must be larger than"),
        (("secgan.weights.identiy=1",), "not a setting"),
        (("data.kind=neurons",), "neurites"),
        (("secgan.segmentation=all",), "segmentation"),
    ],
)
def test_configurations_that_cannot_be_are_refused(overrides, message):
    with pytest.raises(SettingsError, match=message):
        read_experiment(EM / "smoke_secgan.yaml", overrides)


def test_a_mutex_watershed_needs_affinities():
    with pytest.raises(SettingsError, match="mutex needs affinities"):
        read_experiment(EM / "smoke_segmenter.yaml", ("watershed.kind=mutex",))


@pytest.mark.parametrize(
    "config",
    [*sorted(set(EM.glob("*.yaml")) - set(EM.glob("study_*.yaml"))), CT / "secgan.yaml", CT / "ct_segmenter.yaml"],
    ids=str,
)
def test_every_configuration_is_valid(config):
    experiment, _ = read_experiment(config)
    assert experiment.method in ("boundaries", "secgan")


def test_mr_to_ct_with_a_frozen_ct_segmenter(ct_segmenter, tmp_path):
    assert find_bundle(str(ct_segmenter / "bundle")).facts.task == "tissue"
    before = (ct_segmenter / "bundle/weights.safetensors").read_bytes()
    result = run(CT / "secgan.yaml", tmp_path / "run", f"segmenter={ct_segmenter}/bundle")
    assert (ct_segmenter / "bundle/weights.safetensors").read_bytes() == before
    assert "segmentation" in result["last_losses"]
    assert 0 <= result["chosen"]["dice"] <= 1
    guarded = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert any(line["event"] == "guard" for line in guarded)
    bundle = find_bundle(str(tmp_path / "run/bundle"), task="translation")
    assert bundle.facts.network.name == "valid_residual_generator"
    from medgan.phantoms.head import head_phantom
    from medgan.seeding import numpy_generator

    head = head_phantom(generator=numpy_generator(9, "head"), shape=(40, 44, 36), spacing_mm=(5, 5, 6))
    ct = Translator(bundle).translate(head.mr)
    assert ct.grid.same_as(head.mr.grid)
    assert ct.quantity.label == "hounsfield"
    assert ct.array.min() == -1024


def test_a_segmenter_of_another_intensity_map_is_refused(ct_segmenter, tmp_path):
    experiment, _ = read_experiment(CT / "secgan.yaml")
    from medgan.commands.train_secgan_segmenter import frozen_segmenter, require_tissue_segmenter

    found = frozen_segmenter(
        experiment.model_copy(update={"segmenter": str(ct_segmenter / "bundle")}),
        CT / "secgan.yaml",
        device="cpu",
        precision="float32",
    )
    facts = found.bundle.facts
    require_tissue_segmenter(found, domain="ct", knots=facts.knots, spacing_mm=(6, 6, 6))
    for change, message in [
        ({"domain": "mr"}, "takes ct: the labeled domain is mr"),
        ({"knots": ((-1024, -1), (3000, 1))}, "Use one intensity stage"),
        ({"spacing_mm": (1, 1, 1)}, "trained on voxels of"),
    ]:
        with pytest.raises(InferenceError, match=message):
            require_tissue_segmenter(found, **{"domain": "ct", "knots": facts.knots, "spacing_mm": (6, 6, 6), **change})


def test_stacks_of_one_s_own_are_read_lazily_and_must_agree(tmp_path, rng):
    phantom = neurite_phantom(generator=rng, shape=(32, 32, 32), caliber_nm=160)
    write_ome_zarr(phantom.labeled, tmp_path / "raw.zarr")
    write_ome_zarr(phantom.instances, tmp_path / "cells.zarr")
    coarse = Grid.axis_aligned((32, 32, 32), spacing=(10, 10, 40), unit="nm", frame="specimen")
    write_ome_zarr(LabelMap(phantom.instances.array, coarse), tmp_path / "coarse.zarr")
    config = tmp_path / "own.yaml"
    text = (EM / "smoke_segmenter.yaml").read_text()
    head, tail = text.split("data:\n")[0], text.split("  seed: 5\n")[1]
    data = "data:\n  kind: stores\n  labeled: [{image: raw.zarr, labels: cells.zarr, sections: [0, 28]}]\n"
    config.write_text(head + data + tail)
    experiment, _ = read_experiment(config)
    found = em_study(experiment.data, config=config, data_root=None)
    assert found.labeled[0].image.grid.shape == (32, 32, 28)
    assert found.voxel_size_zyx_nm == (10, 10, 10)
    for override, error, message in [
        ("data.labeled=[{image: raw.zarr, labels: coarse.zarr}]", GeometryError, "one grid"),
        ("data.labeled=[{image: raw.zarr, sections: [20, 60]}]", SettingsError, "sections 0 to 32"),
    ]:
        experiment, _ = read_experiment(config, (override,))
        with pytest.raises(error, match=message):
            em_study(experiment.data, config=config, data_root=None)
    result = run(config, tmp_path / "run", "boundaries.steps=2", "tuning=null")
    assert result["steps"] == 2


def test_fib25_is_dealt_by_sections_and_re_imaged(shared_data, tmp_path):
    config = EM / "fib25_secgan.yaml"
    experiment, _ = read_experiment(config)
    found = em_study(experiment.data, config=config, data_root=shared_data)
    assert found.labeled[0].image.grid.shape == (250, 250, 90)
    assert found.test.clean.grid.shape == found.unlabeled[0].image.grid.shape == (250, 250, 70)
    assert found.unlabeled[0].labels is None
    assert found.test.image.array.std() < found.test.clean.array.std()
    prepared, counts = gray_tables_for(found, "sections")
    assert prepared[0].tables.shape == (70, 256)
    assert sum(counts) == 250 * 250 * 90
    bodies = fib25_bodies(shared_data / "em/fib25_training_sample2/groundtruth.h5")
    assert 100 < len(np.unique(bodies)) < 5000
    with pytest.raises(SettingsError, match="--data-root"):
        em_study(experiment.data, config=config, data_root=None)
    with pytest.raises(SettingsError, match="must not overlap"):
        read_experiment(config, ("data.validation=[80,110]",))
