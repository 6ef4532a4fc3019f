"""The benchmark of a segmenter's training step."""

from __future__ import annotations

import torch

from medgan.commands import bench_segment as module

KEYS = {
    "case", "peer", "medgan_s", "peer_s", "ratio", "ratio_min", "ratio_max", "deviation", "deviation_unit",
    "deviation_bound", "medgan_peak_mb", "peer_peak_mb",
}  # fmt: skip


def test_cases_have_the_schema_and_agree():
    threads = torch.get_num_threads()
    facts = module.bench_segment(quick=True, precision="float32", threads=1)
    torch.set_num_threads(threads)
    assert [set(case) for case in facts["cases"]] == [KEYS] * 2
    for case in facts["cases"]:
        assert case["deviation"] < 1e-6
        assert case["ratio_min"] <= case["ratio"] <= case["ratio_max"]
    assert len(module.lines_of(facts)) == 3


def test_no_ratio_where_the_deviation_breaks_its_bound(monkeypatch):
    monkeypatch.setattr(module, "DEVIATION_BOUND", -1.0)
    case = module._case("cross_entropy", "float32", 1)
    assert case["ratio"] is None
    assert "no ratio" in module.lines_of({"machine": "m", "cases": [case]})[1]
