from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from medgan.cli import app
from medgan.commands.outcome import guarded
from medgan.errors import DivergenceError, FormatError


def verbs() -> list[list[str]]:
    group = typer.main.get_command(app)
    found = []
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        found += [[name, sub] for sub in inner] if inner else [[name]]
    return found


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_has_help_with_an_example(medgan, verb):
    outcome = medgan(*verb, "--help")
    assert outcome.code == 0
    assert "Example" in outcome.out
    assert f"medgan {' '.join(verb)}" in " ".join(outcome.out.split())


@pytest.mark.parametrize("verb", verbs(), ids=" ".join)
def test_every_verb_takes_json_and_quiet(medgan, verb):
    text = medgan(*verb, "--help").out
    assert "--json" in text
    assert "--quiet" in text


def test_the_verbs_are_the_documented_ones(medgan):
    text = medgan("--help").out
    for verb in ("translate", "evaluate", "train", "models", "config", "demo"):
        assert verb in text
    assert "Exit codes" in text


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (FormatError("no"), 2),
        (DivergenceError("no"), 1),
        (RuntimeError("secret /home/person"), 1),
        (KeyboardInterrupt(), 130),
        (typer.Abort(), 130),
    ],
)
def test_exit_codes(capsys, failure, code):
    def work() -> None:
        raise failure

    assert guarded(work, as_json=True) == code
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["exit_code"] == code
    assert len(captured.err.strip().splitlines()) == 1
    assert "secret" not in captured.err


def test_an_internal_failure_can_be_seen_whole(monkeypatch):
    monkeypatch.setenv("MEDGAN_TRACEBACK", "1")

    def work() -> None:
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        guarded(work, as_json=False)


def test_usage_errors_are_one_json_object_too(medgan):
    outcome = medgan("translate", "--json", "--modle", "x")
    assert outcome.code == 2
    assert "--model" in outcome.json["error"]["message"]


def test_no_arguments_show_the_help(medgan):
    assert "Usage" in medgan().out


def test_version(medgan):
    from medgan import __version__

    assert __version__ in medgan("--version").out


def test_the_console_script_and_the_module_are_the_same_program():
    outputs = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ([sys.executable, "-m", "medgan"], [str(Path(sys.executable).with_name("medgan"))])
    ]
    assert outputs[0] == outputs[1]


def test_interrupting_the_process_ends_with_130(tmp_path):
    config = Path(__file__).parents[2] / "configs/mr_to_ct/smoke.yaml"
    command = [sys.executable, "-m", "medgan", "train", str(config), "--out", str(tmp_path / "run"), "--set"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(tmp_path)}
    process = subprocess.Popen(
        [*command, "cyclegan.steps=100000"],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        # Where the tests themselves run in a shell's background, SIGINT is ignored, and that is inherited.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert err.endswith("medgan: Interrupted; the same command continues or starts again.\n")
    assert json.loads((tmp_path / "run" / "status.json").read_text())["status"] == "interrupted"
