"""``medgan bench``: every case at a tiny size, the schema of its JSON, and what it refuses."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from medgan.commands import bench as module
from medgan.commands import bench_explain, bench_gemm, bench_limb, bench_segment, bench_settings, bench_train
from medgan.commands.bench import CASES, bench, lines_of, read_results
from medgan.commands.bench_case import KEYS, MEASURED, NOT_APPLICABLE, NOT_MEASURED, left_out
from medgan.commands.bench_settings import BFLOAT16_ABSENT, BenchRequest
from medgan.commands.bench_table import BEGIN, END, put_table, table_of, with_table
from medgan.commands.console import Console
from medgan.errors import OutputError, ReportError, SettingsError
from medgan.reporting.growth_chart import growth_chart

QUIET = Console(quiet=True)
ROOT = Path(__file__).parents[2]
NUMBERS = {"medgan_s", "peer_s", "ratio", "ratio_min", "ratio_max", "deviation", "deviation_bound"}


def tiny(*names: str, **options) -> dict:
    return bench(names, tiny=True, console=QUIET, **{"bfloat16": False, **options})


@cache
def measured(name: str) -> dict:
    """Facts of a case in float32, measured once for all tests."""
    return tiny(name)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("explain", "segment")])
def test_a_case_gives_its_rows_in_the_schema(name):
    facts = measured(name)
    json.loads(json.dumps(facts, allow_nan=False))
    assert tuple(case["case"] for case in facts["cases"]) == CASES[name].rows
    for case in facts["cases"]:
        assert list(case)[: len(KEYS)] == list(KEYS)
        if case["status"] != MEASURED:
            continue
        assert case["medgan_s"] > 0
        for key in NUMBERS:
            assert case[key] is None or isinstance(case[key], float | int)
        if case["ratio"] is not None:
            assert 0 < case["ratio_min"] <= case["ratio"] <= case["ratio_max"]
            assert case["deviation"] <= case["deviation_bound"]
    assert len(lines_of(facts)) >= 3 + len(facts["cases"])


@pytest.mark.parametrize("name", ["translate", "train", "preprocess", "io"])
def test_both_sides_of_a_case_give_the_same_in_float32(name):
    compared = [case for case in measured(name)["cases"] if case["status"] == MEASURED and case["figure"] is None]
    assert compared
    for case in compared:
        assert case["ratio"] is not None, (case["case"], case["deviations"])


def test_bfloat16_is_not_applicable_where_the_cpu_has_none_and_measured_where_asked():
    rows = {case["case"]: case for case in measured("train")["cases"]}
    absent = rows[bench_train.STEP["bfloat16"]]
    assert absent["status"] == NOT_APPLICABLE
    assert absent["notes"] == [BFLOAT16_ABSENT]
    assert rows[bench_train.STEP["float32"]]["status"] == MEASURED
    assert tiny("growth", bfloat16=True)["cases"][0]["growth"]["precision"] == "bfloat16"


def test_the_embedded_rows_state_what_was_skipped_and_hold_the_outside_value():
    case = next(c for c in measured("translate")["cases"] if "embedded" in c["case"])
    assert 0 <= case["skipped_share"] < 1
    assert case["deviations"][1] == {
        "value": 0.0, "unit": "voxels", "bound": 0.0, "words": "other than the outside value outside",
    }  # fmt: skip


def test_growth_is_drawn_and_its_numbers_are_kept(tmp_path):
    facts = measured("growth")
    module.write_plot(facts, tmp_path / "growth.png", overwrite=False)
    growth = facts["cases"][0]["growth"]
    assert growth["voxels"] == growth["memory_voxels"] == [4096 * 2**power for power in range(4)]
    assert [len(seconds) for seconds in growth["seconds_a_patch"]] == [2] * 4
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")


def test_the_literal_curve_and_the_fast_one_agree_and_without_agreement_there_is_no_ratio():
    from medgan.explanation.scored_classifier import ScoredClassifier

    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ).eval()
    judge = ScoredClassifier(network, "0", "logit", ("absent", "present"))
    own, half = bench_explain.bench_explain(BenchRequest(tiny=True), classifier=judge)
    assert own["deviation"] <= 1e-4
    assert own["ratio_min"] <= own["ratio"] <= own["ratio_max"]
    assert own["peer_passes"] > own["passes"]
    assert half["status"] == NOT_APPLICABLE
    refused = bench_explain.bench_explain(BenchRequest(tiny=True), classifier=judge, bounds={"float32": -1.0})
    assert refused[0]["ratio"] is None


def test_the_two_steps_of_a_segmenter_agree_and_without_agreement_there_is_no_ratio():
    rows = bench_segment.bench_segment(BenchRequest(tiny=True))
    assert tuple(row["case"] for row in rows) == bench_segment.ROWS
    found = [row for row in rows if row["status"] == MEASURED]
    assert len(found) == 2
    for row in found:
        assert row["deviation"] < 1e-6
        assert row["ratio"] is not None
    assert bench_segment._rows("cross_entropy", BenchRequest(tiny=True), -1.0)[0]["ratio"] is None


def test_gradients_left_out_as_zero_are_zero_and_no_others():
    from medgan.methods.cyclegan import build, step
    from medgan.seeding import torch_generator

    settings = bench_train.step_settings(width=2, blocks=1)
    state = build(settings, seed=1)
    batch = bench_train._batch(24, 0)
    step(state, batch, settings, torch_generator(1))
    for name, network in bench_train._networks(state).items():
        largest = max(float(p.grad.abs().max()) for p in network.parameters())
        for key, parameter in network.named_parameters():
            is_zero = float(parameter.grad.abs().max()) < 1e-4 * largest
            if bench_train.is_zero_by_construction(name, key, network):
                assert is_zero, (name, key)
            elif key.endswith("bias"):
                assert float(parameter.grad.abs().max()) > 0, (name, key)


def test_gradients_that_differ_are_seen():
    from medgan.methods.cyclegan import build, step
    from medgan.seeding import torch_generator

    settings = bench_train.step_settings(width=2, blocks=1)
    one, other = build(settings, seed=1), build(settings, seed=1)
    for state in (one, other):
        step(state, bench_train._batch(24, 0), settings, torch_generator(1))
    assert bench_train.gradient_deviation(one, other) < 1e-9
    weight = other.source_to_target.head.weight
    weight.grad = -weight.grad
    assert bench_train.gradient_deviation(one, other) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("change", "precision", "holds"),
    [(0.0, "float32", True), (3.0, "float32", True), (8.0, "float32", False), (1.9, "bfloat16", True),
     (2.1, "bfloat16", False)],
)  # fmt: skip
def test_files_are_compared_where_either_holds_more_than_air(tmp_path, change, precision, holds):
    import nibabel

    reference = np.full((4, 4, 4), -1024.0, dtype=np.float32)
    reference[1:3] = 100.0
    path = tmp_path / "own.nii"
    nibabel.save(
        nibabel.Nifti1Image(np.where(reference > -1024, reference + change, -1024).astype("f4"), np.eye(4)), path
    )
    assert all(d.holds for d in bench_limb.file_deviations(path, reference, precision=precision)) is holds


def test_files_of_another_shape_or_of_air_alone_are_no_agreement(tmp_path):
    import nibabel

    path = tmp_path / "own.nii"
    air = np.full((2, 2, 2), -1024, dtype=np.int16)
    nibabel.save(nibabel.Nifti1Image(air, np.eye(4)), path)
    for reference in (air, np.zeros((2, 2, 3))):
        assert not bench_limb.file_deviations(path, reference, precision="bfloat16")[0].holds


def test_without_real_scans_the_limb_says_so_and_a_folder_without_it_is_refused(tmp_path):
    rows = bench_limb.bench_limb(BenchRequest(tiny=True))
    assert {row["status"] for row in rows} == {NOT_MEASURED}
    assert "--data-root" in rows[0]["notes"][0]
    with pytest.raises(SettingsError, match=r"there is none\. Leave --data-root out") as refused:
        bench_limb.bench_limb(BenchRequest(data_root=tmp_path))
    assert str(tmp_path) not in str(refused.value)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:monai")
def test_the_limb_comes_out_the_same_from_file_to_file(shared_data):
    rows = bench_limb.bench_limb(BenchRequest(tiny=True, data_root=shared_data))
    found = [row for row in rows if row["status"] == MEASURED]
    assert len(found) == 2
    for row in found:
        assert row["ratio"] is not None, row["deviations"]
    assert rows[-1]["case"] == bench_limb.WITH
    quick = bench_limb.bench_limb(BenchRequest(tiny=True, quick=True, data_root=shared_data))[-1]
    assert (quick["case"], quick["status"]) == (bench_limb.WITH, NOT_MEASURED)
    assert "run without --quick" in quick["notes"][0]


def test_the_machine_is_named_and_bfloat16_is_asked_of_its_instructions():
    facts = bench_gemm.machine_facts()
    for words in (facts["processor"], "core(s)", "torch thread(s)"):
        assert words in facts["in_words"]
    assert bench_gemm.has_bfloat16(frozenset({"avx512f", "amx_bf16"}))
    assert not bench_gemm.has_bfloat16(frozenset({"avx512f"}))


def test_operations_of_a_convolution_are_counted():
    network = torch.nn.Conv3d(2, 4, 3, padding=1)
    assert bench_gemm.operations_of(network, torch.zeros(1, 2, 5, 5, 5)) == 2 * 27 * 2 * 4 * 125
    assert bench_gemm.multiplication_rate("float32", side=32, repeats=2) > 0
    one, other = torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(3))
    for product in bench_gemm.matrix_products():
        torch.testing.assert_close(product(one, other), torch.einsum("ik,jk->ij", one, other))


@pytest.mark.parametrize("found", ["", "1.5.2", "0.9"])
def test_a_peer_that_is_missing_or_old_is_refused_with_what_to_do(monkeypatch, found):
    def version(_: str) -> str:
        if not found:
            raise bench_settings.PackageNotFoundError
        return found

    monkeypatch.setattr(bench_settings, "version", version)
    with pytest.raises(SettingsError, match=f"found {found or 'none'}") as refused:
        bench_settings.require_peer()
    assert "pip install" in str(refused.value)
    monkeypatch.setattr(bench_settings, "version", lambda _: "1.10.0")
    assert bench_settings.require_peer() == "1.10.0"


def test_unknown_cases_and_plots_that_cannot_be_drawn_are_refused(medgan, tmp_path):
    outcome = medgan("bench", "translat", "--json")
    assert outcome.code == 2
    assert "'translat'" in outcome.json["error"]["message"]
    assert "growth" in outcome.json["error"]["message"]
    assert "Add growth" in medgan("bench", "io", "--plot", "x.png").err
    assert "ends in .png" in medgan("bench", "growth", "--plot", "x.pdf").err
    (tmp_path / "there.png").write_bytes(b"")
    with pytest.raises(OutputError, match=r"there\.png"):
        tiny("growth", plot=tmp_path / "there.png")


def test_a_busy_machine_is_named(monkeypatch, capsys):
    monkeypatch.setattr(bench_gemm.os, "getloadavg", lambda: (7.0, 0.0, 0.0))
    monkeypatch.setattr(module, "CASES", {"io": module.BenchCase((lambda _: [],), ())})
    bench(["io"], console=Console())
    assert "load 7.0" in capsys.readouterr().err


def results(tmp_path: Path) -> tuple[Path, dict]:
    facts = measured("growth")
    facts = {**facts, "cases": [*facts["cases"], *measured("io")["cases"]]}
    path = tmp_path / "speed.json"
    path.write_text(json.dumps(facts))
    return path, facts


def test_earlier_results_are_shown_drawn_and_put_into_a_page(medgan, tmp_path):
    path, facts = results(tmp_path)
    page, plot = tmp_path / "page.md", tmp_path / "growth.png"
    page.write_text(f"# Speed\n\n{BEGIN}\nold\n{END}\n\nend\n")
    outcome = medgan("bench", "--from", path, "--table", page, "--plot", plot)
    assert outcome.code == 0, outcome.err
    assert outcome.out.splitlines() == lines_of(facts)
    text = page.read_text()
    assert "old" not in text
    assert text.startswith("# Speed\n\n")
    assert text.endswith(f"{END}\n\nend\n")
    assert table_of(facts) in text
    assert plot.is_file()
    assert with_table(text, facts, name="page.md") == text


def test_pages_without_marks_and_files_that_are_no_results_are_refused(medgan, tmp_path):
    path, facts = results(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"{END}\n{BEGIN}\n")
    with pytest.raises(SettingsError, match=r"page\.md must say where the table goes"):
        put_table(page, facts)
    assert medgan("bench", "--from", path, "--table", page).code == 2
    assert "leave cases" in medgan("bench", "io", "--from", path).err
    for text in ("nothing", "{}", '{"format": 1, "cases": [{}]}', "[]"):
        path.write_text(text)
        with pytest.raises(SettingsError, match=r"speed\.json must hold"):
            read_results(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_results(tmp_path / "absent.json")


def test_growth_charts_need_two_volumes_with_numbers_each():
    with pytest.raises(ReportError, match="found 1 volumes"):
        growth_chart(voxels=[8], seconds_a_patch=[[1.0]], memory_voxels=[8], memory_beyond_mb=[1.0])
    timed = {"voxels": [8, 16], "seconds_a_patch": [[1.0], [1.1]]}
    assert growth_chart(**timed, memory_voxels=[8, 16], memory_beyond_mb=[None, None])
    with pytest.raises(ReportError, match="one memory a volume"):
        growth_chart(**timed, memory_voxels=[8, 16], memory_beyond_mb=[None])


def test_the_page_on_speed_is_what_its_results_say_and_has_every_row_of_the_benchmark():
    page = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    facts = read_results(ROOT / "docs" / "speed.json")
    assert with_table(page, facts, name="speed.md") == page
    rows = [row for case in CASES.values() for row in case.rows]
    shown = re.findall(r"^\| ([^|]+?) \|", page[page.index(BEGIN) : page.index(END)], re.MULTILINE)
    assert shown == ["case", "---", *rows]
    assert (ROOT / "docs" / "speed_growth.png").stat().st_size < 100_000


def test_the_makefile_runs_the_quick_set():
    assert re.search(r"^bench: .*\n\t.*medgan bench --quick", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_left_out_rows_are_part_of_the_table():
    facts = {"machine": {"in_words": "m", "load_before": None}, "seconds": 1.0, "quick": True,
             "cases": [left_out("a | b", peer="p", why="w")]}  # fmt: skip
    assert "| a / b | p | not applicable |" in table_of(facts)
