"""Prepared cases: written once and whole, read back bit for bit, refused when damaged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import label_maps, volumes

from medgan.cohort import Case
from medgan.cohort.case_store import CaseStore
from medgan.errors import CohortError
from medgan.geometry import Grid
from medgan.volume import LabelMap, Provenance, Quantity, Volume

GRID = Grid((3, 4, 5), np.array([[0, -2.0, 0.3, 1 / 3], [1.5, 0, 0, -7], [0, 0, 3, 9], [0, 0, 0, 1]]))


def example(value: float = 0.1) -> Case:
    """A case of an oblique, sheared image with a label map, notices and a history."""
    provenance = Provenance(("ab" * 32,)).then("flip", axis=1, note="ü").synthesized("translate", weights="cd")
    image = Volume(np.full(GRID.shape, value, np.float32), GRID, Quantity.HOUNSFIELD, provenance)
    body = LabelMap((np.arange(60) % 3).reshape(GRID.shape).astype(np.uint16), GRID, {1: "body", 2: "tumor"})
    return Case("sts_002", "sts_2", {"ct": image}, {"body": body}, ("A couch was removed.", "Ünïcode."))


def same_case(a: Case, b: Case) -> bool:
    return (
        (a.case_id, a.subject_id, a.notices) == (b.case_id, b.subject_id, b.notices)
        and list(a.images) == list(b.images)
        and list(a.labels) == list(b.labels)
        and all(
            a.images[n].array.dtype == b.images[n].array.dtype
            and np.array_equal(a.images[n].array, b.images[n].array)
            and np.array_equal(a.images[n].grid.affine, b.images[n].grid.affine)
            and (a.images[n].grid.unit, a.images[n].grid.frame) == (b.images[n].grid.unit, b.images[n].grid.frame)
            and a.images[n].quantity is b.images[n].quantity
            and a.images[n].provenance == b.images[n].provenance
            and a.images[n].provenance.digest == b.images[n].provenance.digest
            for n in a.images
        )
        and all(
            a.labels[n].array.dtype == b.labels[n].array.dtype
            and np.array_equal(a.labels[n].array, b.labels[n].array)
            and np.array_equal(a.labels[n].grid.affine, b.labels[n].grid.affine)
            and dict(a.labels[n].names) == dict(b.labels[n].names)
            for n in a.labels
        )
    )


def test_a_case_comes_back_bit_for_bit_and_read_only(tmp_path):
    store, case = CaseStore(tmp_path, "ab" * 32), example()
    path = store.write("sts_002.ct", case)
    assert path == store.folder / "sts_002.ct.npz"
    assert store.folder == tmp_path / ("ab" * 8)
    back = store.read("sts_002.ct")
    assert same_case(back, case)
    assert not same_case(back, example(0.2)), "the comparison must be able to fail"
    assert back.image.provenance.is_synthetic
    for array in (back.image.array, back.label("body").array, back.image.grid.affine):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@given(image=volumes(), labels=label_maps(), data=st.data())
@settings(max_examples=25, deadline=None, derandomize=True)
def test_any_image_and_label_map_come_back(tmp_path_factory, image, labels, data):
    store = CaseStore(tmp_path_factory.mktemp("store"), "0" * 64)
    case = Case("c", "s", {"first image": image, "b": image}, {"l/2": labels})
    store.write("c", case)
    assert same_case(store.read("c"), case)


def test_keys_and_membership(tmp_path):
    store = CaseStore(tmp_path, "ab" * 32)
    assert list(store.keys()) == []
    assert "b.mr" not in store
    for key in ("b.mr", "a.ct"):
        store.write(key, example())
    assert list(store.keys()) == ["a.ct", "b.mr"]
    assert "b.mr" in store


def test_a_case_is_written_once(tmp_path):
    store = CaseStore(tmp_path, "ab" * 32)
    before = store.write("c", example()).read_bytes()
    with pytest.raises(CohortError, match=r"written once: c.npz is in the store already"):
        store.write("c", example(0.5))
    assert store.path_of("c").read_bytes() == before


def test_recipes_never_see_each_other(tmp_path):
    CaseStore(tmp_path, "a" * 64).write("c", example())
    other = CaseStore(tmp_path, "b" * 64)
    assert "c" not in other
    with pytest.raises(CohortError, match=r"needs the prepared case c.npz: it is not there. Prepare the cohort first"):
        other.read("c")


def test_a_killed_write_leaves_nothing_and_is_repeated(tmp_path, monkeypatch):
    store = CaseStore(tmp_path, "ab" * 32)

    def killed(stream, **arrays):
        stream.write(b"half a case")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", killed)
        with pytest.raises(KeyboardInterrupt):
            store.write("c", example())
    assert list(store.folder.iterdir()) == []
    assert "c" not in store
    store.write("c", example())
    assert same_case(store.read("c"), example())


def test_leftovers_of_a_dead_process_are_no_cases(tmp_path):
    store = CaseStore(tmp_path, "ab" * 32)
    store.write("c", example())
    (store.folder / ".d.npz.4711").write_bytes(b"half")
    assert list(store.keys()) == ["c"]
    assert "d" not in store


def repacked(path, **changes):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files} | changes
    with path.open("wb") as stream:
        np.savez(stream, **{name: array for name, array in arrays.items() if array is not None})


def flipped(path):
    data, voxels = path.read_bytes(), example().image.array.tobytes()
    changed = bytearray(voxels)
    changed[7] ^= 1
    assert data.count(voxels) == 1
    path.write_bytes(data.replace(voxels, bytes(changed)))


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_bytes(b"not an archive"),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-300]),
    "one flipped bit": flipped,
    "no facts": lambda path: repacked(path, facts=None),
    "facts that are no JSON": lambda path: repacked(path, facts=np.frombuffer(b"{", np.uint8)),
    "facts that are a list": lambda path: repacked(path, facts=np.frombuffer(b"[]", np.uint8)),
    "facts without cases": lambda path: repacked(path, facts=np.frombuffer(b"{}", np.uint8)),
    "no image": lambda path: repacked(path, **{"image/ct": None}),
    "another shape": lambda path: repacked(path, **{"image/ct": np.zeros((2, 2), np.float32)}),
    "NaN": lambda path: repacked(path, **{"image/ct": np.full(GRID.shape, np.nan, np.float32)}),
    "no affine": lambda path: repacked(path, **{"label_affine/body": np.zeros((4, 4))}),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_refused(tmp_path, damage):
    store = CaseStore(tmp_path, "ab" * 32)
    damage(store.write("c", example()))
    with pytest.raises(CohortError, match=r"prepared case c.npz is damaged \(\w+\): remove it and prepare again") as e:
        store.read("c")
    assert str(tmp_path) not in str(e.value)


def test_a_pickle_is_never_loaded(tmp_path):
    store = CaseStore(tmp_path, "ab" * 32)
    path = store.write("c", example())
    with path.open("wb") as stream:
        np.savez(stream, facts=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CohortError, match="is damaged"):
        store.read("c")
