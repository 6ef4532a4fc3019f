"""How long the command line takes to answer, beside a typer program that has as many verbs and nothing behind them."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from medgan.commands.bench_case import Deviation, Figure, stated
from medgan.commands.bench_settings import BenchRequest
from medgan.commands.bench_timing import Child, Side, in_turns
from medgan.errors import SettingsError

HELP, IMPORT = "medgan --help", "import medgan"
ROWS = (HELP, IMPORT)
HEAVY = ("torch", "monai", "SimpleITK", "pandas")
"""Libraries that neither may load."""
WANTED = 1.5
_COUNT = """
import typer
from medgan.cli import app
def count(command):
    return sum(count(each) for each in command.commands.values()) if hasattr(command, "commands") else 1
print(count(typer.main.get_command(app)))
"""
PEAK_WORDS = "resident peak of the whole process"


def bench_startup(request: BenchRequest) -> list[dict[str, Any]]:
    """Return the rows of starting up."""
    with tempfile.TemporaryDirectory(prefix="medgan-bench-") as name:
        bare = Path(name) / "bare.py"
        verbs = verb_count()
        bare.write_text(bare_program(verbs), encoding="utf-8")
        sides = {
            HELP: [sys.executable, "-m", "medgan", "--help"],
            "bare": [sys.executable, str(bare), "--help"],
            IMPORT: [sys.executable, "-c", "import medgan"],
            "empty": [sys.executable, "-c", "import sys"],
        }
        children = {key: Child(command) for key, command in sides.items()}
        turns = in_turns(
            {key: Side(child, gauge=child) for key, child in children.items()},
            rounds=request.rounds,
            long_rounds=None,
            advance=request.advance,
        )
    rows = []
    for case, peer, words, wanted, code in (
        (HELP, "bare", f"bare typer program with {verbs} verbs", WANTED, "import medgan.cli"),
        (IMPORT, "empty", "Python that imports nothing", None, "import medgan"),
    ):
        own, theirs = turns.seconds[case], turns.seconds[peer]
        shares = sorted(mine / other for mine, other in zip(own, theirs))
        loaded = heavy_modules_after(code)
        rows.append(
            stated(
                case,
                peer=words,
                figure=Figure(
                    shares[len(shares) // 2], shares[0], shares[-1], "times the peer's seconds", "takes", wanted,
                    at_least=False,
                ),
                medgan_s=own,
                peer_s=theirs,
                deviation=Deviation(float(len(loaded)), "modules", 0.0, f"loaded of {', '.join(HEAVY)}:"),
                medgan_peak_mb=turns.peak_mb[case],
                peer_peak_mb=turns.peak_mb[peer],
                peak_words=PEAK_WORDS,
                notes=[f"loads {', '.join(loaded)}"] if loaded else [],
            )
        )  # fmt: skip
    return rows


def verb_count() -> int:
    """Return how many verbs the command line has, those of groups included."""
    done = subprocess.run([sys.executable, "-c", _COUNT], capture_output=True, text=True, check=False)
    if done.returncode or not done.stdout.strip().isdigit():
        raise SettingsError("The benchmark must be able to start medgan's own command line: it did not answer.")
    return int(done.stdout)


def bare_program(verbs: int) -> str:
    """Return the text of a typer program with verbs that do nothing, of one option each."""
    lines = [
        "import typer",
        "from typing import Annotated",
        "app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)",
    ]
    for number in range(verbs):
        lines += [
            f"@app.command(name='verb{number}', epilog='Example: bare verb{number}')",
            f"def verb{number}(path: str, quiet: Annotated[bool, typer.Option('--quiet', help='Less.')] = False):",
            "    'Do nothing at all, and say so in one sentence.'",
        ]
    return "\n".join([*lines, "app()", ""])


def heavy_modules_after(code: str) -> list[str]:
    """Return which of :data:`HEAVY` a fresh Python has loaded after some code."""
    script = f"{code}\nimport sys\nprint(' '.join(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SettingsError(f"A fresh Python must be able to run {code!r}: it ended with {done.returncode}.")
    return done.stdout.split()
