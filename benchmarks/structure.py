"""The package in figures: modules, functions, tests, rooms and the import arrows between them.

Run: python benchmarks/structure.py DIR            (any checkout; this one by default)

A *code line* has something on it besides a comment or a docstring. A *room* is a folder or file
directly under ``edgebench/``; an *arrow* leads from a room to another one that it imports, inside
functions and for type checkers too; *floors* are the rooms on the longest chain of arrows, those
that close a circle left out. A function's length is that of its code lines, nested functions
included. Tests are the Python files of ``tests/``. Files that git ignores are not read.

Last printed, for 995b048 and for the commit before the one that wrote this::

    995b048
    modules              115
    code lines           9,565
    median module        71
    largest module       396 (edgebench/tracking.py)
    functions            740
    median function      7
    90th percentile      20
    largest function     59 (edgebench/views.py:162 view_state)
    tests / code         0.64 (6,155 lines)
    rooms                32
    floors               12 (cli > finals > study > proposals > tracking > worker > environment
                         > training > augmentation > data > registry > errors)
    arrows between rooms 126

    2026-11-24, issues 10, 11, 12 and 18
    modules              261
    code lines           21,293
    median module        65
    largest module       317 (edgebench/profiling/tflite_operators.py)
    functions            1,749
    median function      6
    90th percentile      20
    largest function     63 (edgebench/cli/firmware.py:61 command)
    tests / code         0.69 (14,776 lines)
    rooms                21
    floors               12 (cli > search > tracking > trial > space > analysis > training
                         > data > record > metrics > registry > errors)
    arrows between rooms 99
"""

from __future__ import annotations

import ast
import functools
import io
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "edgebench"
_NO_CODE = {
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENCODING, tokenize.ENDMARKER,
}  # fmt: skip


@dataclass(frozen=True)
class Module:
    """One file: where it stands, its code lines, its functions, and the rooms that it imports."""

    path: Path
    room: str
    lines: frozenset[int]
    functions: Mapping[str, int]
    rooms: frozenset[str]


def read(path: Path, root: Path) -> Module:
    """Return what is counted of a file under ``root``."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    lines = code_lines(text, tree)
    functions = {
        f"{path.relative_to(root)}:{node.lineno} {node.name}": sum(
            node.lineno <= line <= (node.end_lineno or 0) for line in lines
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    parts = path.relative_to(root).parts
    room = parts[1].removesuffix(".py") if len(parts) > 1 else ""
    return Module(path, room, lines, functions, frozenset(imported_rooms(tree)) - {room})


def code_lines(text: str, tree: ast.AST) -> frozenset[int]:
    """Return the numbers of the lines that hold code: no comments, docstrings or blank lines."""
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NO_CODE:
            found.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        value = node.value if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):  # a docstring
            found.difference_update(range(value.lineno, (value.end_lineno or 0) + 1))
    return frozenset(found)


def imported_rooms(tree: ast.AST) -> Iterator[str]:
    """Yield the room of every import of the package."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            first, _, rest = name.partition(".")
            if first == PACKAGE and rest:
                yield rest.split(".")[0]


def floors(arrows: Mapping[str, set[str]]) -> tuple[str, ...]:
    """Return the longest chain of rooms, each importing the next, circles left out."""
    ordered = acyclic(arrows)

    @functools.cache
    def chain(room: str) -> tuple[str, ...]:
        after = (chain(other) for other in sorted(ordered[room]))
        return (room, *max(after, key=len, default=()))

    return max(map(chain, sorted(arrows)), key=len, default=())


def acyclic(arrows: Mapping[str, set[str]]) -> Mapping[str, set[str]]:
    """Return the arrows without those that lead back to a room on the way to them."""
    kept: dict[str, set[str]] = {room: set() for room in arrows}
    done: set[str] = set()

    def visit(room: str, path: tuple[str, ...]) -> None:
        for other in sorted(arrows[room]):
            if other in path:
                continue
            kept[room].add(other)
            if other not in done:
                visit(other, (*path, other))
        done.add(room)

    for room in sorted(arrows):
        if room not in done:
            visit(room, (room,))
    return kept


def tracked(root: Path, folder: str) -> list[Path]:
    """Return the Python files that git knows under a folder of the checkout."""
    words = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", f"{folder}/*.py"]
    names = subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(path for name in set(names) if (path := root / name).is_file())


def main(root: Path) -> None:
    """Print the figures of a checkout."""
    modules = [read(path, root) for path in tracked(root, PACKAGE)]
    sizes = sorted((len(one.lines), str(one.path.relative_to(root))) for one in modules)
    functions = sorted((size, name) for one in modules for name, size in one.functions.items())
    lengths = [size for size, _ in functions]
    code = sum(size for size, _ in sizes)
    tests = sum(len(read(path, root).lines) for path in tracked(root, "tests"))
    rooms = sorted({one.room for one in modules} - {"__init__"})
    arrows: dict[str, set[str]] = {room: set() for room in rooms}
    for one in modules:
        if one.room in arrows:
            arrows[one.room] |= one.rooms & set(rooms)
    longest = floors(arrows)
    for name, value in (
        ("modules", f"{len(modules)}"),
        ("code lines", f"{code:,}"),
        ("median module", f"{statistics.median(size for size, _ in sizes):g}"),
        ("largest module", "{} ({})".format(*sizes[-1])),
        ("functions", f"{len(functions):,}"),
        ("median function", f"{statistics.median(lengths):g}"),
        ("90th percentile", f"{lengths[int(0.9 * (len(lengths) - 1))]}"),
        ("largest function", "{} ({})".format(*functions[-1])),
        ("tests / code", f"{tests / code:.2f} ({tests:,} lines)"),
        ("rooms", f"{len(rooms)}"),
        ("floors", f"{len(longest)} ({' > '.join(longest)})"),
        ("arrows between rooms", f"{sum(map(len, arrows.values()))}"),
    ):
        print(f"{name:21}{value}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent.parent).resolve())
