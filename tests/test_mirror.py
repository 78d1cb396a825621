"""cpu/ and gpu/ are twins: equal files, classes and signatures. By ast, so that a machine without a GPU can tell."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "caffepy"

Surface = dict[str, dict[str, dict[str, str]]]


def surface(folder: Path) -> Surface:
    """{file: {class, or "" for the module: {method or function: signature}}} of what is public and mirrored.

    Files, classes and methods whose name starts with an underscore are a backend's own; so are attributes.
    ``backend.py`` is not compared: its class is abstract in caffepy/backend.py, and its constructor differs by nature.
    """
    found: Surface = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem.startswith("_") or path.stem == "backend":
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        classes = {"": _functions(tree.body)}
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                classes[node.name] = _functions(node.body)
        found[path.name] = classes
    return found


def _functions(body: list[ast.stmt]) -> dict[str, str]:
    return {
        node.name: f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else 'None'}"
        for node in body
        if isinstance(node, ast.FunctionDef) and (node.name == "__init__" or not node.name.startswith("_"))
    }


def exports(folder: Path) -> set[str]:
    """The names in ``__all__`` of a package."""
    for node in ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def differences(left: Path, right: Path) -> list[str]:
    """Every way in which two backends differ, one line each."""
    lines = [f"{right.name}/__init__.py: __all__ lacks {name}" for name in sorted(exports(left) - exports(right))]
    lines += [f"{left.name}/__init__.py: __all__ lacks {name}" for name in sorted(exports(right) - exports(left))]
    a, b = surface(left), surface(right)
    for file in sorted(a.keys() | b.keys()):
        if file not in a or file not in b:
            lines.append(f"{(left if file not in a else right).name}/{file} is missing")
            continue
        for name in sorted(a[file].keys() | b[file].keys()):
            if name not in a[file] or name not in b[file]:
                lines.append(f"{(left if name not in a[file] else right).name}/{file}: class {name} is missing")
                continue
            mine, yours = a[file][name], b[file][name]
            for method in sorted(mine.keys() | yours.keys()):
                if mine.get(method) != yours.get(method):
                    place = f"{file}: {name + '.' if name else ''}{method}"
                    one, other = mine.get(method, "none"), yours.get(method, "none")
                    lines.append(f"{place}: {left.name} has {one}, {right.name} has {other}")
    return lines


def test_cpu_and_gpu_are_twins():
    assert not differences(PACKAGE / "cpu", PACKAGE / "gpu")


def test_the_cpu_side_is_seen():
    """The comparison is not of empty with empty."""
    files = surface(PACKAGE / "cpu")
    assert len(files) >= 5
    for file in ("relu.py", "softmax.py"):
        classes = [name for name in files[file] if name]
        assert classes, file
        for name in classes:
            assert {"__init__", "plan", "forward"} <= set(files[file][name]), f"{file}: {name}"


TWIN = """
class ReLU:
    def __init__(self, backend: Backend, slope: float = 0.0) -> None: ...
    def plan(self, shape: tuple[int, ...]) -> None: ...
    def forward(self, x: Array, out: Array) -> None: ...
    def _own(self) -> None: ...

def sgd(w: Array) -> None: ...
"""


@pytest.fixture
def twins(tmp_path):
    for name in ("cpu", "gpu"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text('__all__ = ["ReLU"]\n')
        (tmp_path / name / "relu.py").write_text(TWIN)
        (tmp_path / name / f"_{name}.py").write_text("class Own: ...\n")
    return tmp_path


def test_equal_twins_have_no_differences(twins):
    assert differences(twins / "cpu", twins / "gpu") == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("slope: float = 0.0", "slope: float = 0.1", "relu.py: ReLU.__init__: cpu has .*0.0.*, gpu has .*0.1"),
        ("x: Array, out: Array", "x: Array, y: Array", "relu.py: ReLU.forward: cpu has .*out.*, gpu has"),
        ("def plan(self", "def planned(self", "relu.py: ReLU.plan: cpu has .*, gpu has none"),
        ("class ReLU", "class Relu", "gpu/relu.py: class ReLU is missing"),
        ("def sgd(w: Array) -> None", "def sgd(w: Array) -> Array", "relu.py: sgd: cpu has .*None, gpu has .*Array"),
        ("_own(self)", "_other(self)", ""),
    ],
)
def test_each_difference_is_found(twins, old, new, line):
    import re

    assert old in TWIN
    (twins / "gpu/relu.py").write_text(TWIN.replace(old, new))
    found = differences(twins / "cpu", twins / "gpu")
    if line:
        assert any(re.fullmatch(line + ".*", text) for text in found), found
    else:
        assert found == []


def test_a_missing_file_and_a_missing_export_are_found(twins):
    (twins / "gpu/relu.py").unlink()
    (twins / "gpu/__init__.py").write_text("__all__ = []\n")
    assert differences(twins / "cpu", twins / "gpu") == [
        "gpu/__init__.py: __all__ lacks ReLU",
        "gpu/relu.py is missing",
    ]
