"""The laws of the house: imports point one way, a third-party package has one home."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "edgebench"

ORDER = (
    "errors",
    "registry",
    "metrics",
    "scores",
    "record",
    "limits",
    "units",
    "markup",
    "yaml12",
    "collector",
    "data",
    "models",
    "training",
    "profiling",
    "footprint",
    "export",
    "firmware",
    "analysis",
    "report",
    "space",
    "trial",
    "tracking",
    "search",
    "cli",
)
"""The order of the data: a file or room imports only what stands before it."""

COMING: set[str] = set()
"""What has its place in the order and is not built yet."""

ALONE = {
    "data": {"errors", "registry", "record"},
    "models": {"errors", "registry"},
    "training": {"errors", "registry", "scores", "data"},
    "profiling": {"collector", "errors"},
    "report": {"errors", "registry", "limits", "markup", "metrics", "record", "units"},
}
"""Rooms that can be used by themselves, with all that they import of edgebench."""

HOMES = {
    "mlflow": {"tracking"},
    "optuna": {"search"},
    "fvcore": {"export"},
    "sklearn": {"data"},
    "scipy": {"search"},
    "torchvision": {"data"},
    "PIL": {"data"},
    "matplotlib": {"report", "footprint"},
    "plotly": {"report"},
    "ruamel": {"yaml12"},
    "pandas": {"record"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"registry"},
    "tflite": {"profiling"},
    "cryptography": {"export"},
    "filelock": {"tracking"},
    "ray": {"search"},
    "sqlalchemy": {"tracking"},
}
"""Where a third-party package may be imported; the others are everywhere or nowhere."""


def modules() -> Iterator[tuple[str, Path]]:
    """Yield every file of the package with the stage that it belongs to."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.name != "__init__.py" or len(relative.parts) > 1:
            yield relative.parts[0].removesuffix(".py"), path


FILES = [pytest.param(*item, id=str(item[1].relative_to(PACKAGE))) for item in modules()]


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax of a file, parsed once."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the dotted names that a file imports, inside functions too, types excepted."""
    return tuple(_imports(tree_of(path)))


def _imports(tree: ast.Module) -> Iterator[str]:
    typed = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stage_of(name: str) -> str | None:
    """Return the stage that a dotted name of edgebench belongs to."""
    parts = name.split(".")
    return parts[1] if parts[0] == "edgebench" and len(parts) > 1 else None


@functools.cache
def _face(room: str) -> set[str]:
    """Return the names that a room's ``__init__`` shows."""
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    shown = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    ]
    return set(shown[0]) if shown else set()


def test_every_stage_has_its_place() -> None:
    """A new module is put into the order of the data on purpose."""
    there = {stage for stage, _ in modules()}
    assert there <= set(ORDER)
    assert set(ORDER) - there <= COMING


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_imports_point_one_way(stage: str, path: Path) -> None:
    """No stage imports a later one: there can be no cycle."""
    for name in imports(path):
        other = stage_of(name)
        if other in ORDER and other != stage:
            assert ORDER.index(other) < ORDER.index(stage), f"{path.name} imports {name}"


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_a_room_is_entered_by_its_face(stage: str, path: Path) -> None:
    """What another room needs, ``__init__`` shows: a room's files are its own."""
    for name in imports(path):
        other = stage_of(name)
        if other is not None and other != stage and (PACKAGE / other).is_dir():
            parts = name.split(".")[2:]
            assert len(parts) <= 1, f"{path.name} imports {name}, past the face of {other}"
            assert set(parts) <= _face(other), f"{other} does not show {name}"


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_rooms_stand_alone(stage: str, path: Path) -> None:
    """Data, models, training, profiling and report know nothing of the search around them."""
    if stage in ALONE:
        used = {stage_of(name) for name in imports(path)} - {stage, None}
        assert used <= ALONE[stage], f"{path.name} imports {used - ALONE[stage]}"


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_third_parties_have_one_home(stage: str, path: Path) -> None:
    """Replacing a library means editing its home."""
    for name in imports(path):
        package = name.split(".")[0]
        if package in HOMES:
            assert stage in HOMES[package], f"{path.name} imports {name}"


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_every_module_says_what_it_is(stage: str, path: Path) -> None:
    """The first statement is a docstring."""
    assert ast.get_docstring(tree_of(path)), stage


def test_the_test_split_has_one_door() -> None:
    """Nothing outside the data reads it but by `Dataset.open_test`, and few places call that."""
    openers = set()
    for stage, path in modules():
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and stage != "data":
                assert node.attr != "_test", f"{path.name} reads the test split"
                if node.attr == "open_test":
                    openers.add(str(path.relative_to(PACKAGE)))
    assert openers == {"trial.py", "tracking/handover.py"}


def test_only_the_command_line_prints_and_exits() -> None:
    """The library raises."""
    for stage, path in modules():
        if stage == "cli":
            continue
        for node in ast.walk(tree_of(path)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            allowed = called == "sys.exit" and stage == "search"  # a process of its own
            assert called not in {"print", "sys.exit", "exit", "quit"} or allowed, path
