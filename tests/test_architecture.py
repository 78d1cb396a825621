"""The rules of the house: who may import whom, what is public, what each file and function looks like."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import caffepy

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = None

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "caffepy"
GENERATED = {"caffe_pb2.py"}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in GENERATED)

MOST_LINES = 500
MOST_FUNCTION_LINES = 80


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def test_import_contracts_hold():
    command = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    run = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert " 0 broken" in run.stdout


def _contracts() -> dict[str, dict]:
    if tomllib is None:
        pytest.skip("needs tomllib, which is in Python 3.11 and later")
    with open(ROOT / "pyproject.toml", "rb") as file:
        return {c["name"]: c for c in tomllib.load(file)["tool"]["importlinter"]["contracts"]}


#: Contract -> (the field that lists all modules but some, those some).
COMPLETE = {
    "cpu imports backend, labels, host, random and errors only": (
        "forbidden_modules",
        {"cpu", "backend", "labels", "host", "random", "errors"},
    ),
    "gpu imports backend, labels, host, random and errors only": (
        "forbidden_modules",
        {"gpu", "backend", "labels", "host", "random", "errors"},
    ),
    "data imports proto, host, random and errors only": (
        "forbidden_modules",
        {"data", "proto", "host", "random", "errors"},
    ),
    "proto imports errors only": ("forbidden_modules", {"proto", "errors"}),
    "Only devices imports cpu and gpu": ("source_modules", {"cpu", "gpu", "devices"}),
    "Nothing imports testing": ("source_modules", {"testing"}),
}


@pytest.mark.parametrize("contract", COMPLETE)
def test_a_contract_that_lists_all_others_lists_all(contract):
    """A new module must be put under each rule, or it would be under none."""
    field, allowed = COMPLETE[contract]
    names = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert set(_contracts()[contract][field]) == {
        f"caffepy.{name}" for name in names - allowed - {"__init__", "__main__"}
    }


def test_import_caffepy_is_light():
    heavy = ["numba", "llvmlite", "cupy", "matplotlib", "lmdb", "PIL", "h5py", "click", "rich"]
    code = f"import sys, caffepy; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


def test_all_is_what_is_public():
    public = {
        name
        for name in dir(caffepy)
        if not name.startswith("_") and not inspect.ismodule(getattr(caffepy, name)) and name != "annotations"
    }
    assert set(caffepy.__all__) - {"__version__"} == public
    assert len(caffepy.__all__) == len(set(caffepy.__all__))


# tests/gpu says in one line what is left out without CuPy.
_IMPORTABLE = [path for path in FILES if importlib.util.find_spec("cupy") or path.parent.name != "gpu"]


@pytest.mark.parametrize("path", _IMPORTABLE, ids=_name)
def test_all_of_each_module_exists(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    if path.stem == "__main__":
        return
    module = importlib.import_module(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    for name in getattr(module, "__all__", []):
        assert hasattr(module, name), f"{_name(path)}: __all__ has {name}, the module has not"


LAYERS = sorted(path for path in (PACKAGE / "layers").glob("*.py") if not path.stem.startswith("_"))


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_each_layer_has_a_test_file(path):
    assert (ROOT / f"tests/layers/test_{path.stem}.py").is_file()


def _imported(tree: ast.Module) -> set[str]:
    """The top-level names of all that a module imports, inside functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", LAYERS, ids=lambda path: path.stem)
def test_layers_reach_arrays_through_the_backend(path):
    assert not _imported(_tree(path)) & {"numpy", "cupy", "numba"}, f"{_name(path)}: use self.xp and self.ops"


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_sizes(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= MOST_LINES, f"{_name(path)} has {lines} lines: more than {MOST_LINES}"
    for node in ast.walk(_tree(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            where = f"{_name(path)}:{node.lineno}: {node.name}"
            assert length <= MOST_FUNCTION_LINES, f"{where} has {length} lines: more than {MOST_FUNCTION_LINES}"


def undocumented(tree: ast.Module) -> list[str]:
    """Public modules, classes and functions without a docstring."""
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            missing += [] if ast.get_docstring(node) else [f"line {node.lineno}: {node.name}"]
    return missing


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_what_is_public_has_a_docstring(path):
    assert not undocumented(_tree(path))


def test_a_missing_docstring_is_found():
    source = '"""M."""\nclass A:\n    x = 1\ndef f(): ...\ndef _g(): ...\nclass B:\n    """B."""\n'
    assert undocumented(ast.parse(source)) == ["line 2: A", "line 4: f"]
    assert undocumented(ast.parse("x = 1")) == ["the module"]


def test_no_name_is_a_drawer_for_everything():
    assert not [_name(path) for path in FILES if path.stem in {"utils", "util", "helpers", "common", "misc"}]
