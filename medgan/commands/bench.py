"""``medgan bench``: what this machine can do, each case beside a named peer on the same work."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from medgan.commands import (
    bench_explain,
    bench_growth,
    bench_io,
    bench_limb,
    bench_preprocess,
    bench_segment,
    bench_startup,
    bench_train,
    bench_translate,
)
from medgan.commands.bench_case import KEYS, MEASURED, line_of
from medgan.commands.bench_settings import BenchRequest
from medgan.commands.console import Console
from medgan.errors import SettingsError

FORMAT = 1


@dataclass(frozen=True)
class BenchCase:
    """One name on the command line: what runs, and the rows that it gives, in order."""

    parts: tuple[Callable[[BenchRequest], list[dict[str, Any]]], ...]
    rows: tuple[str, ...]


CASES: dict[str, BenchCase] = {
    "translate": BenchCase(
        (bench_translate.bench_translate, bench_limb.bench_limb), (*bench_translate.ROWS, *bench_limb.ROWS)
    ),
    "train": BenchCase((bench_train.bench_train,), bench_train.ROWS),
    "preprocess": BenchCase((bench_preprocess.bench_preprocess,), bench_preprocess.ROWS),
    "io": BenchCase((bench_io.bench_io,), bench_io.ROWS),
    "startup": BenchCase((bench_startup.bench_startup,), bench_startup.ROWS),
    "growth": BenchCase((bench_growth.bench_growth,), bench_growth.ROWS),
    "explain": BenchCase((bench_explain.bench_explain,), bench_explain.ROWS),
    "segment": BenchCase((bench_segment.bench_segment,), bench_segment.ROWS),
}

QUICK = "quick: the same work a patch on smaller volumes, smaller training patches, a smaller classifier"
BUSY = "Other work runs on this machine (load {load:.1f} on {cores} core(s)): ratios hold, seconds do not."
BUSY_SHARE = 0.5


def bench(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    data_root: Path | None = None,
    plot: Path | None = None,
    overwrite: bool = False,
    console: Console,
    tiny: bool = False,
    bfloat16: bool | None = None,
) -> dict[str, Any]:
    """Run cases and return what was measured.

    Parameters
    ----------
    names : sequence of str
        Of :data:`CASES`; all if none is given.
    quick : bool
        The same work a patch on smaller volumes.
    data_root : Path, optional
        Folder of real scans; without one the limb is left out.
    plot : Path, optional
        Where the growth plot goes; the growth case must be among the names.
    overwrite : bool
    console : Console
    tiny : bool
        Sizes at which nothing is to be learned about speed, for trying the program out.
    bfloat16 : bool, optional
        Whether the CPU has bf16 instructions; asked of the CPU if not given.

    Returns
    -------
    dict
        ``machine``, ``quick``, ``seconds`` in all, ``cases``; of each case the keys of
        :data:`~medgan.commands.bench_case.KEYS` first.

    Raises
    ------
    SettingsError
        If a name is none of the cases, a peer is not installed, or a plot is asked for without growth.
    OutputError
        If the plot exists; nothing is measured then.
    """
    from medgan.commands.bench_gemm import has_bfloat16, machine_facts
    from medgan.formats import require_absent

    chosen = _chosen(names)
    if plot is not None:
        require_plot(plot, chosen)
        require_absent([plot], overwrite=overwrite)
    request = BenchRequest(
        quick=quick, data_root=data_root, bfloat16=has_bfloat16() if bfloat16 is None else bfloat16, tiny=tiny
    )
    machine = machine_facts()
    load = machine["load_before"]
    if load is not None and load > BUSY_SHARE * machine["cores"]:
        console.notice(BUSY.format(load=load, cores=machine["cores"]))
    begun = time.perf_counter()
    cases: list[dict[str, Any]] = []
    for name in chosen:
        for part in CASES[name].parts:
            # What the peers warn of is nothing that this machine's user can do something about.
            with console.progress(f"bench {name}") as advance, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                rows = part(replace(request, advance=advance))
            cases += [{**row, "name": name} for row in rows]
    facts = {
        "format": FORMAT,
        "machine": {**machine, "load_after": machine_facts()["load_before"]},
        "quick": quick,
        "seconds": round(time.perf_counter() - begun, 1),
        "cases": cases,
    }
    if plot is not None:
        write_plot(facts, plot, overwrite=overwrite)
    return facts


def show(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    data_root: Path | None = None,
    plot: Path | None = None,
    results: Path | None = None,
    table: Path | None = None,
    overwrite: bool = False,
    console: Console,
) -> dict[str, Any]:
    """Measure as :func:`bench`, or read earlier ``results``; put the table into a page where one is named.

    Raises
    ------
    MedganError
        As :func:`bench` and :func:`read_results`, or if the page lacks its marks; nothing is measured then.
    """
    from medgan.commands.bench_table import put_table, with_table
    from medgan.formats import require_absent

    if table is not None:
        empty = {"machine": {"in_words": "", "load_before": None}, "seconds": 0.0, "quick": quick, "cases": []}
        with_table(_text_of(table), empty, name=table.name)
    if results is None:
        facts = bench(names, quick=quick, data_root=data_root, plot=plot, overwrite=overwrite, console=console)
    else:
        if names or quick or data_root is not None:
            raise SettingsError("--from shows what was measured before: leave cases, --quick and --data-root out.")
        facts = read_results(results)
        if plot is not None:
            require_plot(plot, ("growth",))
            require_absent([plot], overwrite=overwrite)
            write_plot(facts, plot, overwrite=overwrite)
    if table is not None:
        put_table(table, facts)
    return facts


def _text_of(page: Path) -> str:
    try:
        return page.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{page.name} cannot be read: {error.strerror}.") from None


def read_results(path: Path) -> dict[str, Any]:
    """Return what an earlier ``medgan bench --json`` printed.

    Raises
    ------
    SettingsError
        If the file is none of that.
    """
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path.name} cannot be read: {error.strerror}.") from None
    except ValueError:
        facts = None
    cases = facts.get("cases") if isinstance(facts, dict) else None
    if not isinstance(cases, list) or facts.get("format") != FORMAT or not all(set(KEYS) <= set(c) for c in cases):
        raise SettingsError(
            f"{path.name} must hold what `medgan bench --json` prints (format {FORMAT}, every case with its keys): "
            "it does not. Measure again."
        )
    return dict(facts)


def require_plot(plot: Path, names: Sequence[str]) -> None:
    """Refuse a plot that cannot be drawn.

    Raises
    ------
    SettingsError
        If growth is not among the names, or the file is no .png.
    """
    if plot.suffix.lower() != ".png":
        raise SettingsError(f"The growth plot is a PNG: found {plot.name}. Name a file that ends in .png.")
    if "growth" not in names:
        raise SettingsError(
            f"--plot draws the case growth: found {', '.join(names)}. Add growth, or leave the names out to run all."
        )


def write_plot(facts: dict[str, Any], path: Path, *, overwrite: bool) -> None:
    """Draw the growth of a result.

    Raises
    ------
    SettingsError
        If growth was not measured.
    """
    from medgan.formats import write_bytes
    from medgan.reporting.growth_chart import growth_chart

    found = [case["growth"] for case in facts["cases"] if case.get("growth")]
    if not found:
        raise SettingsError(f"{path.name} needs the case growth: these results have none. Run medgan bench growth.")
    growth = found[0]
    picture = growth_chart(
        voxels=growth["voxels"],
        seconds_a_patch=growth["seconds_a_patch"],
        memory_voxels=growth["memory_voxels"],
        memory_beyond_mb=growth["memory_beyond_mb"],
        title=f"{facts['machine']['processor']}, {growth['precision']}, patches of {growth['patch']}",
    )
    write_bytes(path, picture, overwrite=overwrite)


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return a result for people."""
    machine = facts["machine"]
    lines = [machine["in_words"]]
    if machine["load_before"] is not None:
        lines.append(f"load {machine['load_before']:.1f} before, {machine['load_after']:.1f} after")
    if facts["quick"]:
        lines.append(QUICK)
    lines += [line_of(case) for case in facts["cases"]]
    peaks = dict.fromkeys(case["peak_words"] for case in facts["cases"] if case["peak_words"])
    if peaks:
        lines.append(f"memory: {'; '.join(peaks)}")
    measured = [case for case in facts["cases"] if case["status"] == MEASURED]
    wanted = [case for case in measured if case["reached"] is not None]
    missed = [case["case"] for case in wanted if not case["reached"]]
    lines.append(f"{len(measured)} of {len(facts['cases'])} rows measured in {facts['seconds']:.0f} s; "
                 f"{len(wanted) - len(missed)} of {len(wanted)} bounds reached")  # fmt: skip
    return lines


def _chosen(names: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise SettingsError(
            f"A case of the benchmark is one of {', '.join(CASES)}: found {', '.join(map(repr, unknown))}."
        )
    return tuple(name for name in CASES if not names or name in names)
