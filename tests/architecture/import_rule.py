"""Who may import whom in medgan, as an allow-list over the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "medgan"

SHARED = frozenset({"errors", "settings", "runs", "seeding"})
_IMAGES = frozenset({"geometry", "volume", "formats"})
_SPACE = _IMAGES | {"phantoms", "cohort", "preprocessing", "evaluation"}
_TENSOR = frozenset({"networks", "training", "methods"})

ALLOWED: dict[str, frozenset[str]] = {
    "": frozenset(),
    "errors": frozenset(),
    "settings": frozenset(),
    "runs": frozenset(),
    "seeding": frozenset(),
    "geometry": frozenset(),
    "volume": frozenset({"geometry"}),
    "formats": frozenset({"geometry", "volume"}),
    "phantoms": _IMAGES,
    "cohort": _IMAGES,
    "preprocessing": _IMAGES | {"cohort"},
    "evaluation": _IMAGES | {"cohort"},
    "networks": frozenset(),
    "training": frozenset({"networks"}),
    "methods": frozenset({"networks", "training"}),
    "patches": _SPACE | _TENSOR,
    "inference": _SPACE | _TENSOR | {"patches"},
    "explanation": _SPACE | _TENSOR | {"patches", "inference"},
    "reporting": _IMAGES | {"cohort", "evaluation"},
    "bundles": frozenset(),
    "commands": _SPACE | _TENSOR | {"patches", "inference", "explanation", "reporting", "bundles"},
    "cli": frozenset({"commands"}),
    "__main__": frozenset({"cli"}),
    "pipelines": frozenset({"commands"}),
}
"""For each package or module directly below medgan (and for the pipelines): what else of medgan it may import.

Every one may also import itself, :data:`SHARED` and the version.
"""

RECORDS = {"reporting": frozenset({"medgan.explanation.explanation"})}
"""Single modules that a package may import although it may not import their package."""

NO_TORCH = _SPACE | {"reporting", "errors", "settings", "runs", "cli", "__main__", ""}
"""Packages in which even an import inside a function of :data:`TENSOR_LIBRARIES` is wrong."""
TENSOR_LIBRARIES = frozenset({"torch", "monai", "captum", "lightning", "lightning_fabric", "torchvision"})


@dataclass(frozen=True)
class Import:
    """One name that a file imports, with the line."""

    name: str
    line: int
    is_at_module_level: bool


def imports_of(source: str, module: str, *, is_package: bool = False) -> Iterator[Import]:
    """Find all imports in a file: absolute, relative, inside functions, and by a literal string.

    Parameters
    ----------
    source : str
        Text of the file.
    module : str
        Dotted name, such as ``"medgan.volume.resample"``.
    is_package : bool
        Whether the file is an ``__init__.py``.
    """
    tree = ast.parse(source)
    # What stands in a function, or only for the type checker, is not loaded with the module; it counts all the same.
    late = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef) or _is_for_types(n)]
    nested = {id(inner) for outer in late for inner in ast.walk(outer)}
    for node in ast.walk(tree):
        outside = id(node) not in nested
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, outside)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                anchor = parts if is_package else parts[:-1]
                anchor = anchor[: len(anchor) - (node.level - 1)]
                base = ".".join([*anchor, *([node.module] if node.module else [])])
            for alias in node.names:
                yield Import(f"{base}.{alias.name}", node.lineno, outside)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            value = node.args[0].value
            if function in ("import_module", "__import__") and isinstance(value, str):
                yield Import(value, node.lineno, outside)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def violations(source: str, module: str, *, file: str, is_package: bool = False, public: dict[str, str]) -> list[str]:
    """Return a sentence for each import that breaks the rule.

    Parameters
    ----------
    source, module, is_package
        As for :func:`imports_of`; pipelines have the module name ``"pipelines.<name>"``.
    file : str
        As named in the sentence.
    public : dict
        Public name of ``medgan`` to the module that defines it.
    """
    parts = module.split(".")
    owner = "pipelines" if parts[0] == "pipelines" else (parts[1] if len(parts) > 1 else "")
    found = []
    if owner not in ALLOWED:
        return [f"{file}:1: package '{owner}' is not in the import rule: add it there and to the architecture."]
    for one in imports_of(source, module, is_package=is_package):
        target = _package(one.name, public)
        if target is None:
            if one.name.split(".")[0] in TENSOR_LIBRARIES and owner in NO_TORCH:
                found.append(f"{file}:{one.line}: '{owner or 'medgan'}' imports {one.name}, but must not know tensors.")
            continue
        if target == owner or target in SHARED or target == "__version__":
            continue
        if any(one.name == r or one.name.startswith(f"{r}.") for r in RECORDS.get(owner, ())):
            continue
        if target not in ALLOWED[owner]:
            found.append(
                f"{file}:{one.line}: '{owner or 'medgan'}' imports {one.name}, but may only import {_listed(owner)}."
            )
        elif owner == "cli" and one.is_at_module_level:
            found.append(f"{file}:{one.line}: 'cli' imports {one.name} at module level: import inside the function.")
    return found


def _package(name: str, public: dict[str, str]) -> str | None:
    """Return the package of medgan that an imported name belongs to, None for other libraries."""
    parts = name.split(".")
    if parts[0] == "pipelines":
        return "pipelines"
    if parts[0] != "medgan":
        return None
    if len(parts) == 1:
        return "medgan itself"
    if parts[1] in public:
        return public[parts[1]].split(".")[1]
    return parts[1]


def _listed(owner: str) -> str:
    return ", ".join(sorted(ALLOWED[owner] | SHARED))


def library_files() -> list[tuple[Path, str, bool]]:
    """Return every file of medgan and of the pipelines with its module name and whether it is a package."""
    files = []
    for folder in (LIBRARY, REPOSITORY / "pipelines"):
        for path in sorted(folder.rglob("*.py")):
            parts = list(path.relative_to(REPOSITORY).with_suffix("").parts)
            is_package = parts[-1] == "__init__"
            files.append((path, ".".join(parts[:-1] if is_package else parts), is_package))
    return files
