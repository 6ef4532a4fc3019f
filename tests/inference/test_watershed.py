"""Instances from probabilities: known answers of both watersheds, and agglomeration by the weakest face."""

from __future__ import annotations

import numpy as np
import pytest

from medgan.errors import InferenceError
from medgan.evaluation.instances import instance_scores, overlaps
from medgan.inference.watershed import (
    WatershedSettings,
    agglomerated,
    boundary_of,
    instances_of,
    mutex_watershed,
    seeded_watershed,
)
from medgan.patches.em_targets import affinity_target, boundary_target
from medgan.phantoms.neurites import neurite_phantom

NM = (10.0, 10.0, 10.0)


@pytest.fixture(scope="module")
def phantom():
    return neurite_phantom(generator=np.random.default_rng(3), shape=(40, 40, 40), caliber_nm=160)


def voi(labels, phantom) -> float:
    return instance_scores(overlaps(result=labels, reference=phantom.instances.array)).voi


def test_true_boundaries_give_nearly_the_true_instances(phantom):
    boundary, _ = boundary_target(phantom.instances.array, background="ignored")
    settings = WatershedSettings(seed_distance_nm=40, agglomeration=0.9)
    labels = instances_of(boundary, offsets=(), spacing=NM, settings=settings)
    assert labels.dtype == np.uint64
    assert labels.min() == 1
    assert voi(labels, phantom) < 0.8
    # Without agglomeration there are more pieces, none of them merging more.
    fine = instances_of(
        boundary,
        offsets=(),
        spacing=NM,
        settings=settings.model_copy(update={"agglomeration": 0, "smallest_voxels": 0}),
    )
    assert fine.max() > labels.max()


def test_true_affinities_give_the_true_instances_by_the_mutex_watershed(phantom):
    pytest.importorskip("mwatershed")
    offsets = [(-1, 0, 0), (0, -1, 0), (0, 0, -1), (-4, 0, 0), (0, -4, 0), (0, 0, -4)]
    target, counted = affinity_target(phantom.instances.array, offsets, background="ignored")
    target[counted == 0] = 0.5
    labels = instances_of(target, offsets=offsets, spacing=NM, settings=WatershedSettings(kind="mutex"))
    assert voi(labels, phantom) < 0.1
    assert len(np.unique(mutex_watershed(np.ones_like(target), offsets))) == 1


def test_a_wall_with_a_gap_is_closed_by_agglomeration_or_not():
    boundary = np.zeros((20, 12, 12), dtype=np.float32)
    boundary[9:11] = 0.6
    fragments = seeded_watershed(boundary, spacing=NM, threshold=0.5, seed_distance=60)
    assert len(np.unique(fragments)) == 2
    apart = agglomerated(fragments, boundary, threshold=0.5, smallest_voxels=0)
    joined = agglomerated(fragments, boundary, threshold=0.7, smallest_voxels=0)
    assert (len(np.unique(apart)), len(np.unique(joined))) == (2, 1)


def test_the_weakest_face_is_joined_first_and_faces_add_up():
    # Three slabs: 1|2 weak, 2|3 strong. Joining 1 and 2 leaves the face to 3 as strong as it was.
    fragments = np.repeat(np.array([1, 2, 3], dtype=np.uint64), 4)[:, None, None] * np.ones((1, 5, 5), np.uint64)
    boundary = np.zeros(fragments.shape, dtype=np.float32)
    boundary[4], boundary[8] = 0.2, 0.8
    labels = agglomerated(fragments, boundary, threshold=0.5, smallest_voxels=0)
    assert labels[0, 0, 0] == labels[5, 0, 0] != labels[9, 0, 0]


def test_a_crumb_joins_its_weakest_neighbor_whatever_the_threshold():
    fragments = np.ones((9, 5, 5), dtype=np.uint64)
    fragments[4:] = 2
    fragments[3, 2, 2] = 3
    boundary = np.full(fragments.shape, 0.9, dtype=np.float32)
    boundary[:4] = 0.7
    labels = agglomerated(fragments, boundary, threshold=0.1, smallest_voxels=5)
    assert labels[3, 2, 2] == labels[0, 0, 0] != labels[8, 0, 0]


def test_a_block_of_one_kind_is_one_instance():
    for value in (0.0, 1.0):
        boundary = np.full((1, 8, 8, 8), value, dtype=np.float32)
        labels = instances_of(boundary, offsets=(), spacing=NM, settings=WatershedSettings())
        assert np.unique(labels).tolist() == [1]


def test_affinities_become_boundaries_by_direct_neighbors():
    affinities = np.zeros((3, 2, 2, 2), dtype=np.float32)
    affinities[0] = 1.0
    affinities[2] = 0.7
    boundary = boundary_of(affinities, [(-1, 0, 0), (0, 0, 1), (0, -5, 0)])
    np.testing.assert_allclose(boundary, 0.5)
    with pytest.raises(InferenceError, match="direct neighbors"):
        boundary_of(affinities[:1], [(-2, 0, 0)])


def test_what_does_not_fit_is_refused(monkeypatch):
    probabilities = np.zeros((1, 4, 4, 4), dtype=np.float32)
    with pytest.raises(InferenceError, match="needs affinities"):
        instances_of(probabilities, offsets=(), spacing=NM, settings=WatershedSettings(kind="mutex"))
    with pytest.raises(InferenceError, match="1 channels, 2 offsets"):
        instances_of(probabilities, offsets=[(1, 0, 0), (0, 1, 0)], spacing=NM, settings=WatershedSettings())
    monkeypatch.setitem(__import__("sys").modules, "mwatershed", None)
    with pytest.raises(InferenceError, match=r"pip install 'medgan\[em\]'"):
        mutex_watershed(probabilities, [(1, 0, 0)])
