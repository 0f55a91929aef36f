"""How true the footprint figures are: against vendor tables and a measured interpreter.

    python benchmarks/truth.py MODELS ROWS

MODELS is the folder with the unpacked ``zoo/models.tar.xz``, ROWS its ``rows.json``. Prints, by
tool version and precision, weights, activations, runtime RAM and code against the vendor's print
(which is rounded, so +-6 B counts as equal), the TFLite Micro arenas, the verdicts on every listed
board, and what was fitted again with each network left out in turn.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edgebench.footprint import TARGETS, Footprint, Target, measure
from edgebench.profiling import Profile, profile
from edgebench.report import render

VERSIONS = {
    "STM32Cube.AI 7.3.0": "st-7.3",
    "STM32Cube.AI 8.1.0": "st-8.1",
    "STM32Cube.AI 10.0.0": "st",
    "ST Edge AI Core 3.0.0": "st-core3",
}
"""The convention that describes each tool of the vendor's tables."""
FIGURES = ("weights_bytes", "activations_bytes", "runtime_ram_bytes", "code_bytes")


@dataclass(frozen=True)
class Case:
    """One row of a vendor's table: the network, the printed bytes and our footprint."""

    name: str
    tool: str
    printed: Mapping[str, int]
    tolerance: int
    found: Footprint

    def error(self, figure: str) -> float:
        """Return (ours - theirs) / theirs, 0 within the print's rounding."""
        return self._error(figure, getattr(self.found, figure))

    def upper_error(self, figure: str) -> float:
        """Return how far the upper figure lies above the print, as a share of it."""
        return self._error(figure, getattr(self.found, figure.replace("_bytes", "_upper_bytes")))

    def _error(self, figure: str, ours: int) -> float:
        theirs = self.printed[figure]
        return 0.0 if abs(ours - theirs) <= self.tolerance else ours / theirs - 1


def profiles(folder: Path) -> dict[str, Profile]:
    """Return the profile of every network of ``folder`` by the name of its file."""
    return {path.name: profile(path) for path in sorted(folder.glob("*.onnx"))}


def cases(rows: Iterable[Mapping[str, Any]], networks: Mapping[str, Profile]) -> list[Case]:
    """Return the rows of the vendor's tables with the footprint of their tool's convention."""
    return [
        Case(
            row["name"],
            row["tool"],
            row["expected"],
            _tolerance(row),
            measure(networks[row["model"]], VERSIONS[row["tool"]]),
        )
        for row in rows
        if row["kind"] == "vendor-table"
    ]


def _tolerance(row: Mapping[str, Any]) -> int:
    """Return the bytes that the print's rounding hides; a tilde rounds to whole KiB."""
    return int(row["print_tolerance_bytes"])


def accuracy(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield a row a tool, precision and figure: how many are equal, and how far the others off."""
    for (tool, dtype), group in _groups(found):
        for figure in FIGURES:
            errors = [one.error(figure) for one in group]
            sizes = [abs(error) for error in errors]
            row: dict[str, object] = {
                "tool": tool,
                "dtype": dtype,
                "figure": figure.removesuffix("_bytes"),
                "rows": len(group),
                "equal": sum(error == 0 for error in errors),
                "within 1 %": sum(size <= 0.01 for size in sizes),
                "median, %": _percent(median(sizes)),
                "lowest, %": _percent(min(errors)),
                "highest, %": _percent(max(errors)),
            }
            if figure != "weights_bytes":
                above = [one.upper_error(figure) for one in group]
                row |= {
                    "upper below": sum(error < 0 for error in above),
                    "upper above, median %": _percent(median(above)),
                    "upper above, most %": _percent(max(above)),
                }
            yield row


def _groups(found: Sequence[Case]) -> Iterator[tuple[tuple[str, str], list[Case]]]:
    for tool in VERSIONS:
        for dtype in ("float32", "int8"):
            group = [one for one in found if one.tool == tool and one.found.dtype == dtype]
            if group:
                yield (tool, dtype), group


def _percent(share: float) -> str:
    return f"{100 * share:+.2f}"


def single_rows(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield each network with the printed bytes, ours and the upper figure."""
    for one in found:
        row: dict[str, object] = {"tool": one.tool, "network": one.name, "dtype": one.found.dtype}
        for figure in FIGURES:
            ours = getattr(one.found, figure)
            row[figure.removesuffix("_bytes")] = f"{one.printed[figure]}/{ours}"
            if figure != "weights_bytes":
                upper = getattr(one.found, figure.replace("_bytes", "_upper_bytes"))
                row[figure.removesuffix("_bytes")] = f"{one.printed[figure]}/{ours}/{upper}"
        yield row


def verdicts(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield by tool how often each verdict meets a board that the print fits, or does not."""
    for tool in VERSIONS:
        counts = {
            (verdict, fits): 0
            for verdict in ("fits", "may fit", "does not fit")
            for fits in (True, False)
        }
        for one in found:
            if one.tool == tool:
                for board in TARGETS.values():
                    counts[board.check(one.found).verdict, _truly_fits(one, board)] += 1
        yield {
            "tool": tool,
            "verdicts": sum(counts.values()),
            "fits, true": counts["fits", True],
            "fits, FALSE": counts["fits", False],
            "may fit, and does": counts["may fit", True],
            "may fit, does not": counts["may fit", False],
            "does not, true": counts["does not fit", False],
            "does not, FALSE": counts["does not fit", True],
        }


def _truly_fits(case: Case, board: Target) -> bool:
    flash = case.printed["weights_bytes"] + case.printed["code_bytes"]
    ram = case.printed["activations_bytes"] + case.printed["runtime_ram_bytes"]
    return flash <= board.free_flash_bytes and ram <= board.free_ram_bytes


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--single", action="store_true", help="also print every row")
    options = parser.parse_args()
    rows = json.loads(options.rows.read_text(encoding="utf-8"))["rows"]
    networks = profiles(options.models)
    found = cases(rows, networks)
    if options.single:
        print(render(list(single_rows(found)), "table"))
    print(render(list(accuracy(found)), "table"))
    print(render(list(verdicts(found)), "table"))


if __name__ == "__main__":
    main()
