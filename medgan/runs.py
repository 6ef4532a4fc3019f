"""One folder an execution: what was asked, on what machine, and how far it came."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medgan.errors import OutputError

CONFIG, ENVIRONMENT, MANIFEST, STATUS = "config.yaml", "environment.json", "manifest_lock.json", "status.json"


@dataclass(frozen=True)
class Run:
    """A run folder: resolved configuration, environment, manifest lock, metrics, checkpoints, previews, bundle, status.

    A folder is created whole (under a temporary name, then renamed). A later start with the same configuration and
    manifest continues it; with others it is refused.
    """

    folder: Path

    @classmethod
    def opened(cls, folder: Path, *, config_text: str, manifest_digest: str, environment: Mapping[str, Any]) -> Run:
        """Create the folder, or return the one that is there if it belongs to the same configuration and data.

        Raises
        ------
        OutputError
            If the folder holds another configuration, another manifest, or something that is no run.
        """
        run = cls(folder)
        if not folder.exists():
            folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                (temporary / CONFIG).write_bytes(config_text.encode())
                _write_json(temporary / ENVIRONMENT, {**machine(), **environment})
                _write_json(temporary / MANIFEST, {"manifest_sha256": manifest_digest})
                _write_json(temporary / STATUS, {"status": "started"})
                temporary.chmod(0o755)
                temporary.rename(folder)
            except OSError as error:
                raise OutputError(f"Run folder {folder.name} cannot be made: {error.strerror}.") from None
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
            return run
        if not (folder / CONFIG).is_file() or not (folder / MANIFEST).is_file():
            raise OutputError(f"{folder.name} exists and is no run folder: choose another with --out.")
        if (folder / CONFIG).read_bytes() != config_text.encode():
            raise OutputError(
                f"Run {folder.name} was started with another configuration (see its {CONFIG}): choose another folder "
                "with --out, or restore the configuration to continue it."
            )
        try:
            began_with = run.manifest_digest
        except (ValueError, KeyError, TypeError):
            raise OutputError(
                f"Run {folder.name} has a damaged {MANIFEST}: choose another folder with --out."
            ) from None
        if began_with != manifest_digest:
            raise OutputError(f"Run {folder.name} was started with another manifest: choose another folder with --out.")
        return run

    @property
    def environment(self) -> dict[str, Any]:
        """What the first start recorded of the machine and of choices that later starts must repeat."""
        return dict(json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8")))

    @property
    def manifest_digest(self) -> str:
        """Digest of the manifest that the run was started with."""
        return str(json.loads((self.folder / MANIFEST).read_text(encoding="utf-8"))["manifest_sha256"])

    @property
    def status(self) -> dict[str, Any]:
        """Last recorded status."""
        return dict(json.loads((self.folder / STATUS).read_text(encoding="utf-8")))

    def set_status(self, status: str, **facts: Any) -> None:
        """Record how far the run is, atomically."""
        _write_json(self.folder / STATUS, {"status": status, **facts})

    def part(self, name: str) -> Path:
        """Return a subfolder, created if needed."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def machine() -> dict[str, Any]:
    """Return the machine in words: processor, cores, system, Python and package versions; no host name, no user."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("medgan", "torch", "numpy", "SimpleITK", "nibabel", "scipy"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "versions": versions,
    }


def processor() -> str:
    """Return the name of the processor as the system states it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
