"""Rules of style that a reader relies on, held over the whole library."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest
from import_rule import LIBRARY, REPOSITORY, library_files

import medgan

FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "core"}
LONGEST = 400


def named(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def packages() -> list[Path]:
    return [p for p in sorted(LIBRARY.iterdir()) if p.is_dir() and any(p.glob("*.py"))]


def banned_statements(source: str, file: str) -> list[str]:
    """Return a sentence for each print, assert, exit and breakpoint in a library file."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            found.append(f"{file}:{node.lineno}: assert: raise an error that says what to do.")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in ("print", "breakpoint", "exit", "quit", "sys.exit", "os._exit"):
                found.append(f"{file}:{node.lineno}: {name}(): leave that to the command line.")
    return found


def test_no_print_assert_or_exit_in_the_library():
    found = []
    for path, module, _ in library_files():
        if module.startswith("medgan") and module not in ("medgan.__main__",):
            found += banned_statements(path.read_text(), named(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "statement", ["print(1)", "assert x", "import sys\nsys.exit(2)", "def f():\n    exit()", "quit()"]
)
def test_a_banned_statement_is_caught(statement):
    assert len(banned_statements(statement, "bad.py")) == 1
    assert banned_statements("x = blueprint(1)\nreport.print()", "good.py") == []


def test_no_file_is_longer_than_is_allowed():
    lengths = {named(path): len(path.read_text().splitlines()) for path, _, _ in library_files()}
    assert not {f: n for f, n in lengths.items() if n > LONGEST}


def test_every_module_has_a_docstring_and_every_package_says_what_it_is_for():
    for path, module, is_package in library_files():
        text = ast.get_docstring(ast.parse(path.read_text()))
        assert text, f"{named(path)} has no docstring"
        if is_package and module.count(".") == 1:
            assert len(text) > 60, f"{named(path)}: say what the package knows and what it must not know"


def test_no_file_is_named_after_nothing():
    stems = {named(p): p.stem.lower() for p, _, _ in library_files()}
    folders = {named(p): p.name.lower() for p in LIBRARY.rglob("*") if p.is_dir()}
    assert not {f for f, stem in {**stems, **folders}.items() if stem.strip("_") in FORBIDDEN_NAMES}


def test_a_package_has_at_least_two_modules():
    for package in packages():
        modules = [p for p in package.glob("*.py") if p.name != "__init__.py"]
        assert len(modules) >= 2, f"{named(package)} has one module: a package is created when it has two"
        assert (package / "__init__.py").exists(), f"{named(package)} has no __init__.py"


@pytest.mark.parametrize("name", sorted(medgan._PUBLIC))
def test_every_public_name_is_where_the_table_says(name):
    spec = importlib.util.find_spec(medgan._PUBLIC[name])
    assert spec is not None
    assert spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text())
    defined = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    imported = {a.asname or a.name for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert name in defined | imported


def test_unknown_names_of_the_package_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'Grille'"):
        _ = medgan.Grille
    assert set(medgan._PUBLIC) <= set(dir(medgan))
    assert medgan.Grid.__name__ == "Grid"
