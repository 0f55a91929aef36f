"""The laws of the house: imports point one way, a third-party package has one home."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "edgebench"

ORDER = (
    "errors",
    "registry",
    "yaml12",
    "record",
    "report",
    "profiling",
    "planning",
    "footprint",
    "models",
    "data",
    "recipe",
    "space",
    "axes",
    "sweep",
    "augmentation",
    "training",
    "export",
    "sketch",
    "quantization",
    "parity",
    "audit",
    "environment",
    "trial",
    "worker",
    "views",
    "tracking",
    "evidence",
    "proposals",
    "study",
    "finals",
    "handover",
    "cli",
)
"""The order of the data: a module imports only what stands before it."""

ALONE = {"training", "profiling", "planning", "export", "quantization", "report"}
NOUNS = {"errors", "registry", "record", "recipe", "data", "augmentation", "export", "planning"}
"""Those alone import nothing of edgebench but these: each stage can be used by itself."""

HOMES = {
    "mlflow": {"tracking", "views", "environment", "cli"},
    "optuna": {"proposals", "study"},
    "fvcore": {"audit"},
    "sklearn": {"data"},
    "torchvision": {"data"},
    "PIL": {"data"},
    "matplotlib": {"report", "footprint", "cli"},
    "plotly": {"report"},
    "yaml": {"yaml12"},
    "click": {"cli"},
    "rich": {"cli"},
    "pydantic": {"registry"},
    "filelock": {"tracking", "study"},
}
"""Where a third-party package may be imported; the others are everywhere or nowhere."""


def modules() -> Iterator[tuple[str, Path]]:
    """Yield every file of the package with the stage that it belongs to."""
    for path in sorted(PACKAGE.rglob("*.py")):
        relative = path.relative_to(PACKAGE)
        if relative.name != "__init__.py" or len(relative.parts) > 1:
            yield relative.parts[0].removesuffix(".py"), path


FILES = [pytest.param(*item, id=str(item[1].relative_to(PACKAGE))) for item in modules()]


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted names that a file imports, inside functions too, types excepted."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
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


def test_every_stage_has_its_place() -> None:
    """A new module is put into the order of the data on purpose."""
    assert {stage for stage, _ in modules()} == set(ORDER)


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_imports_point_one_way(stage: str, path: Path) -> None:
    """No stage imports a later one: there can be no cycle."""
    for name in imports(path):
        other = stage_of(name)
        if other in ORDER and other != stage:
            assert ORDER.index(other) < ORDER.index(stage), f"{path.name} imports {name}"


@pytest.mark.parametrize(("stage", "path"), FILES)
def test_stages_stand_alone(stage: str, path: Path) -> None:
    """Training, profiling, export and report know nothing of the search around them."""
    if stage in ALONE:
        used = {stage_of(name) for name in imports(path)} - {stage, None}
        assert used <= NOUNS, f"{path.name} imports {used - NOUNS}"


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
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), stage


def test_only_the_command_line_prints_and_exits() -> None:
    """The library raises."""
    for stage, path in modules():
        if stage == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            allowed = called == "sys.exit" and stage == "worker"  # a process of its own
            assert called not in {"print", "sys.exit", "exit", "quit"} or allowed, path
