"""How true the footprint figures are: against vendor tables and a measured interpreter.

Run: python benchmarks/truth.py MODELS ROWS [--single] [--state]

MODELS is the folder with the unpacked ``zoo/models.tar.xz``, ROWS its ``rows.json``. Prints, by
tool version and precision, weights, activations, runtime RAM and code against the vendor's print,
the TFLite Micro arenas, the verdicts on every listed board, what was fitted again with each network
left out in turn, and prints of the same networks at other sizes. ``--state`` prints the errors in
the form that the conventions state them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from other_sizes import other_sizes
from scipy.optimize import nnls

from edgebench.footprint import CONVENTIONS, TARGETS, Footprint, Target, measure
from edgebench.footprint.conventions import MeasuredError
from edgebench.footprint.conventions.tflm import tail_features
from edgebench.footprint.st import CORE_2, code_features, runtime_ram
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
IN_KB = {("STM32Cube.AI 7.3.0", "mobilenet_v1_0.25_96_int8"): FIGURES[:2]}
"""Figures of 1,000 B that a table prints as KiB: 219.84 and 39.56, the network's to the digit."""
CONTRADICTED = {
    ("STM32Cube.AI 7.3.0", "st_efficientnet_lc_v1_128_tfs_int8", "activations_bytes"): (
        "it is the total: 175 KiB, 68 of them runtime RAM; at 224 x 224 309 KiB"
    )
}
"""Figures that their own table contradicts, with why: printed beside the others, not counted.

The table: STMicroelectronics/stm32ai-modelzoo, image_classification/models/efficientnet/README.md
@1732c202.
"""
ROUNDED = "STM32Cube.AI 7.3.0"
"""The tool whose tables have one decimal of a KiB, or none, rounded either way."""
REORDERED = "tk-king/MicroNas"
"""The networks whose operators tf2onnx puts in another order: their heads cannot all be equal."""


@dataclass(frozen=True)
class Case:
    """One row of a vendor's table: the network, the printed bytes and our footprint."""

    name: str
    tool: str
    printed: Mapping[str, int]
    network: Profile
    found: Footprint

    def tolerance(self, figure: str) -> float:
        """Return the bytes that the print's rounding hides."""
        kib = self.printed[figure] / 1024
        if self.tool != ROUNDED:
            return 6.0
        places = next(p for p in range(4) if abs(round(kib, p) - kib) < 1e-3)
        return max(6.0, 1024 / 10.0**places)

    def sound(self, figure: str) -> bool:
        """Tell whether the table does not contradict this figure."""
        return (self.tool, self.name, figure) not in CONTRADICTED

    def error(self, figure: str) -> float:
        """Return (ours - theirs) / theirs, 0 within the print's rounding."""
        return self._error(figure, getattr(self.found, figure))

    def upper_error(self, figure: str) -> float:
        """Return how far the upper figure lies above the print, as a share of it."""
        return self._error(figure, getattr(self.found, figure.replace("_bytes", "_upper_bytes")))

    def _error(self, figure: str, ours: int) -> float:
        theirs = self.printed[figure]
        return 0.0 if abs(ours - theirs) <= self.tolerance(figure) else ours / theirs - 1


def cases(rows: Iterable[Mapping[str, Any]], networks: Mapping[str, Profile]) -> list[Case]:
    """Return the rows of the vendor's tables with the footprint of their tool's convention."""
    found = []
    for row in rows:
        if row["kind"] == "vendor-table":
            network = networks[row["model"]]
            small = IN_KB.get((row["tool"], row["name"]), ())
            printed = {
                figure: round(size / 1.024) if figure in small else size
                for figure, size in row["expected"].items()
            }
            counted = measure(network, VERSIONS[row["tool"]])
            found.append(Case(row["name"], row["tool"], printed, network, counted))
    return found


def _groups(found: Sequence[Case]) -> Iterator[tuple[str, str, list[Case]]]:
    for tool in VERSIONS:
        for dtype in ("float32", "int8"):
            group = [one for one in found if one.tool == tool and one.found.dtype == dtype]
            if group:
                yield tool, dtype, group


def accuracy(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield a row a tool, precision and figure: how many are equal, and how far the others off."""
    for tool, dtype, group in _groups(found):
        for figure in FIGURES:
            sound = [one for one in group if one.sound(figure)]
            errors = [one.error(figure) for one in sound]
            row = {"tool": tool, "dtype": dtype, "figure": figure.removesuffix("_bytes")}
            row |= _spread(errors)
            if figure != "weights_bytes":
                above = [one.upper_error(figure) for one in sound]
                row |= {
                    "upper below": sum(error < 0 for error in above),
                    "upper above, median %": _percent(median(above)),
                    "most %": _percent(max(above)),
                }
            yield row


def contradicted(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield a row for each figure that its own table contradicts."""
    for one in found:
        for figure in FIGURES:
            if not one.sound(figure):
                yield {
                    "tool": one.tool,
                    "network": one.name,
                    "figure": figure.removesuffix("_bytes"),
                    "printed": one.printed[figure],
                    "error %": _percent(one.error(figure)),
                    "upper %": _percent(one.upper_error(figure)),
                    "why not counted": CONTRADICTED[one.tool, one.name, figure],
                }


def _spread(errors: Sequence[float]) -> dict[str, Any]:
    sizes = [abs(error) for error in errors]
    return {
        "rows": len(errors),
        "equal": sum(size == 0 for size in sizes),
        "in 1 %": sum(size <= 0.01 for size in sizes),
        "in 10 %": sum(size <= 0.1 for size in sizes),
        "in 20 %": sum(size <= 0.2 for size in sizes),
        "median %": f"{100 * median(sizes):.2f}",
        "lowest %": _percent(min(errors)),
        "highest %": _percent(max(errors)),
    }


def _percent(share: float) -> str:
    return f"{100 * share:+.2f}"


def single_rows(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield each network: bytes as printed / ours / the upper figure."""
    for one in found:
        row: dict[str, object] = {"tool": one.tool, "network": one.name, "dtype": one.found.dtype}
        for figure in FIGURES:
            name = figure.removesuffix("_bytes")
            row[name] = f"{one.printed[figure]}/{getattr(one.found, figure)}"
            if figure != "weights_bytes":
                row[name] = f"{row[name]}/{getattr(one.found, f'{name}_upper_bytes')}"
        yield row


# Verdicts ---------------------------------------------------------------------------------------


def verdicts(found: Sequence[Case]) -> Iterator[dict[str, object]]:
    """Yield by tool how often each verdict meets a board that the print fits, or does not."""
    for tool in VERSIONS:
        met: dict[tuple[str, bool], int] = {}
        for one in found:
            for board in TARGETS.values() if one.tool == tool else ():
                key = board.check(one.found).verdict.value, _truly_fits(one, board)
                met[key] = met.get(key, 0) + 1
        yield {
            "tool": tool,
            "verdicts": sum(met.values()),
            "fits": met.get(("fits", True), 0),
            "FALSE fits": met.get(("fits", False), 0),
            "may fit: does": met.get(("may fit", True), 0),
            "may fit: does not": met.get(("may fit", False), 0),
            "does not fit": met.get(("does not fit", False), 0),
            "FALSE does not": met.get(("does not fit", True), 0),
        }


def _truly_fits(case: Case, board: Target) -> bool:
    flash = case.printed["weights_bytes"] + case.printed["code_bytes"]
    ram = case.printed["activations_bytes"] + case.printed["runtime_ram_bytes"]
    return flash <= board.free_flash_bytes and ram <= board.free_ram_bytes


# TFLite Micro -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arena:
    """One network that the interpreter planned: bytes of the arena's head and tail."""

    name: str
    reordered: bool
    head: int
    tail: int
    network: Profile
    found: Footprint


def arenas(rows: Iterable[Mapping[str, Any]], networks: Mapping[str, Profile]) -> list[Arena]:
    """Return the measured arenas with the footprint of the convention ``tflm``."""
    return [
        Arena(
            row["model"],
            REORDERED.casefold() in row["source"]["repo"].casefold(),
            row["expected"]["arena_head_bytes"],
            row["info"]["arena_tail_bytes_64bit_host"],
            networks[row["model"]],
            measure(networks[row["model"]], "tflm"),
        )
        for row in rows
        if row["kind"] == "tflm-head"
    ]


def arena_errors(found: Sequence[Arena]) -> dict[tuple[str, str], list[float]]:
    """Return the errors of the head (less the reordered graphs), tail and arena by precision."""
    errors: dict[tuple[str, str], list[float]] = {}
    for one in found:
        ours, dtype = one.found, one.found.dtype
        pairs = [
            ("tail", ours.runtime_ram_bytes, one.tail),
            ("arena", ours.ram_bytes, one.head + one.tail),
        ]
        name = "head, reordered" if one.reordered else "head"
        pairs.insert(0, (name, ours.activations_bytes, one.head))
        for figure, size, theirs in pairs:
            errors.setdefault((figure, dtype), []).append(size / theirs - 1)
    return errors


# Left out ---------------------------------------------------------------------------------------

Fit = Callable[[Any, Any], Any]


def _relative(features: Any, sizes: Any) -> Any:
    """Return the factors >= 0 with the least squares of the relative errors."""
    return nnls(features / sizes[:, None], np.ones(len(sizes)))[0]


def left_out(
    names: Sequence[str], features: Sequence[Sequence[float]], sizes: Sequence[float]
) -> list[float]:
    """Return each row's error when the factors are fitted without the rows of its network."""
    x, y = np.array(features, float), np.array(sizes, float)
    errors = []
    for index, name in enumerate(names):
        others = np.array([other != name for other in names])
        errors.append(float(x[index] @ _relative(x[others], y[others]) / y[index] - 1))
    return errors


def fits(found: Sequence[Case], measured: Sequence[Arena]) -> Iterator[dict[str, object]]:
    """Yield what was fitted, with the errors of each network when it is left out."""
    for tool, dtype, group in _groups(found):
        names = [_network(one.name) for one in group]
        if dtype == "int8":
            plans = [CONVENTIONS[VERSIONS[tool]].lower(one.network) for one in group]
            code = [code_features(plan) for plan in plans]
            linked = np.array([row[1] for row in code])
            sizes = np.array([one.printed["code_bytes"] for one in group]) - linked
            apart = [(row[0], row[2], row[3]) for row in code]
            printed = [one.printed["code_bytes"] for one in group]
            errors = left_out(names, apart, sizes.clip(1))
            yield {
                "tool": tool,
                "fitted": "code: base, kernel, channel",
                **_spread([e * s / p for e, s, p in zip(errors, sizes, printed, strict=True)]),
            }
            objects = [(1, runtime_ram(plan, CORE_2)) for plan in plans]
            errors = left_out(names, objects, [one.printed["runtime_ram_bytes"] for one in group])
            if "Cube" in tool:
                yield {"tool": tool, "fitted": "runtime: base, factor", **_spread(errors)}
            yield {"tool": tool, "fitted": "activations: upper", **_spread(_upper_left_out(group))}
    plans = [CONVENTIONS["tflm"].lower(one.network) for one in measured]
    names = [_network(one.name) for one in measured]
    errors = left_out(names, [tail_features(p) for p in plans], [one.tail for one in measured])
    yield {"tool": "TFLite Micro", "fitted": "tail", **_spread(errors)}


def _network(name: str) -> str:
    """Return the architecture of a row's network: what is left out together."""
    return "_".join(name.split("_")[:3]).removesuffix(".onnx")


def _upper_left_out(group: Sequence[Case]) -> list[float]:
    """Return how far the upper arena is above the print when its margin is fitted without it.

    The margin then just covers the worst of the other networks.
    """
    ratios = [
        one.printed["activations_bytes"] / (one.found.activations_upper_bytes or 1) for one in group
    ]
    return [
        max([other for o, other in zip(group, ratios, strict=True) if _other(o, one)]) / ratio - 1
        for one, ratio in zip(group, ratios, strict=True)
    ]


def _other(one: Case, left: Case) -> bool:
    return _network(one.name) != _network(left.name)


# The page ---------------------------------------------------------------------------------------


def stated(found: Sequence[Case], measured: Sequence[Arena]) -> Iterator[tuple[str, MeasuredError]]:
    """Yield the errors that each convention should state."""
    for tool, dtype, group in _groups(found):
        for figure in FIGURES[1:]:
            errors = [one.error(figure) for one in group if one.sound(figure)]
            name = figure.removesuffix("_bytes").replace("_ram", "")
            yield VERSIONS[tool], _error(name, dtype, errors)
    for (figure, dtype), errors in sorted(arena_errors(measured).items()):
        yield "tflm", _error(figure, dtype, errors)


def _error(figure: str, dtype: str, errors: Sequence[float]) -> MeasuredError:
    middle = 100 * median([abs(error) for error in errors])
    low, high = 100 * min(errors), 100 * max(errors)
    return MeasuredError(
        figure, dtype, len(errors), round(middle, 1), round(low, 1) + 0.0, round(high, 1) + 0.0
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("models", type=Path)
    parser.add_argument("rows", type=Path)
    parser.add_argument("--single", action="store_true", help="also print every row")
    parser.add_argument("--state", action="store_true", help="print what conventions should state")
    options = parser.parse_args()
    rows = json.loads(options.rows.read_text(encoding="utf-8"))["rows"]
    networks = {path.name: profile(path) for path in sorted(options.models.glob("*.onnx"))}
    found, measured = cases(rows, networks), arenas(rows, networks)
    if options.state:
        for name, one in stated(found, measured):
            numbers = f"{one.rows}, {one.median}, {one.lowest}, {one.highest}"
            print(f'{name}: Error("{one.figure}", "{one.dtype}", {numbers}),')
        return
    tables: list[tuple[str, Iterator[dict[str, object]]]] = [
        ("Against the vendor's tables", accuracy(found)),
        ("Contradicted by their own table", contradicted(found)),
        ("Verdicts on every listed board, flash and RAM together", verdicts(found)),
        (
            "Arenas of TFLite Micro on a 64-bit host",
            (
                {"figure": figure, "dtype": dtype, **_spread(errors)}
                for (figure, dtype), errors in sorted(arena_errors(measured).items())
            ),
        ),
        ("Fitted again with each network left out", fits(found, measured)),
        ("int8 activations of the same networks at other sizes", other_sizes(options.models)),
    ]
    if options.single:
        tables.insert(0, ("As printed / ours / upper", single_rows(found)))
    for title, lines in tables:
        print(f"{title}\n{render(list(lines), 'table')}")
    late = [
        name for name, error in stated(found, measured) if error not in CONVENTIONS[name].errors
    ]
    print(f"stated errors out of date: {', '.join(sorted(set(late))) or 'none'}")


if __name__ == "__main__":
    main()
