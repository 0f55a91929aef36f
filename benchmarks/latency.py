"""Fits the latency model, and prints its error on networks that are left out of the fit.

    python benchmarks/latency.py                        # from tests/golden/latency.json: print
    python benchmarks/latency.py --write                # and write edgebench/footprint/latency.json
    python benchmarks/latency.py --rows networks.json --graphs DIR    # make the golden rows anew

The golden rows are what was measured on hardware (vendor's tables and MLPerf Tiny results, named
in each row's source), cleaned as `ROWS` and `DROPPED` below say, with the five counts of each
network.

Last printed:

    shape: macs 1.00, depthwise 5.02, dense 0.73, outputs 10.60, moved 16.26

    core        tool             version   scale  rows nets   median   90th  worst
    Cortex-M33  Cube.AI          10.2       1.14     6    3    15.1%  17.6%  17.6%
    Cortex-M33  Cube.AI          7.3        1.55     2    2     7.9%   8.2%   8.2%
    Cortex-M33  Cube.AI          8.1        1.45     5    5     3.4%  14.0%  14.6%
    Cortex-M33  Cube.AI          9.0        1.18     3    3    14.3%  22.6%  24.6%
    Cortex-M33  HALE             1.0        1.36     3    3     3.2%   5.0%   5.5%
    Cortex-M33  Plumerai         2022       1.27     3    3     7.3%   7.8%   7.9%
    Cortex-M33  Plumerai         2023.05    1.18     3    3     8.4%  16.2%  18.1%
    Cortex-M4   Cube.AI          7.1        2.43     3    3     6.8%   9.5%  10.1%
    Cortex-M4   Cube.AI          7.3        1.97     3    3     7.0%   7.1%   7.1%
    Cortex-M4   Cube.AI          8.1        1.76     3    3    10.9%  14.3%  15.2%
    Cortex-M4   Cube.AI          9.0        1.34     3    3    13.5%  25.6%  28.6%
    Cortex-M4   HALE             1.0.175    1.70     6    3     5.7%   9.6%  10.9%
    Cortex-M4   ONNC             mbed       2.30     3    3    18.6%  20.7%  21.2%
    Cortex-M4   ONNC             zephyr     2.41     6    3    14.5%  23.1%  23.5%
    Cortex-M4   Plumerai         2022       2.00     6    3     8.5%  16.7%  20.7%
    Cortex-M4   Plumerai         2023.05    1.85     3    3    13.1%  16.9%  17.9%
    Cortex-M4   microTVM         cmsis-nn   2.67     3    3     7.7%  22.7%  26.5%
    Cortex-M4   microTVM         native     3.23     3    3    10.8%  13.4%  14.1%
    Cortex-M7   Cube.AI          10.0       0.95     8    8     7.5%  17.2%  18.3%
    Cortex-M7   Cube.AI          7.1        1.39     3    3     6.6%   7.3%   7.4%
    Cortex-M7   Cube.AI          7.3        1.12    17   10     5.7%  16.7%  18.7%
    Cortex-M7   Cube.AI          8.0        1.09     3    3     6.1%  12.4%  13.9%
    Cortex-M7   Cube.AI          8.1        1.04    11    9     4.9%  18.9%  20.1%
    Cortex-M7   HALE             1.0        0.91     6    3     9.3%  12.0%  12.6%
    Cortex-M7   HALE             1.0.175    0.90     6    3     6.9%  10.6%  12.8%
    Cortex-M7   Plumerai         2022       1.00     3    3     6.7%  12.0%  13.4%
    Cortex-M7   Plumerai         2023.05    0.86     6    3     9.7%  20.4%  22.4%
    Cortex-M7   ST Edge AI Core  3.0        0.96     8    8    15.8%  19.6%  23.2%
    Cortex-M7   ST Edge AI Core  4.0        0.84     5    5     9.9%  14.7%  15.2%

    all                 143 rows: median  8.2%, 90th 18.2%, worst 28.6%
    all without gates   137 rows: median  7.7%, 90th 17.7%, worst 28.6%
    the vendor's tools   83 rows: median  7.4%, 90th 17.6%, worst 28.6%
    Cortex-M7            76 rows: median  8.1%, 90th 17.7%, worst 23.2%
    Cube.AI              70 rows: median  6.9%, 90th 17.5%, worst 28.6%
    Cortex-M4            42 rows: median  9.7%, 90th 21.2%, worst 28.6%
    Plumerai             24 rows: median  8.9%, 90th 18.4%, worst 22.4%
    Cortex-M33           25 rows: median  7.6%, 90th 17.6%, worst 24.6%
    microTVM              6 rows: median  9.3%, 90th 20.3%, worst 26.5%
    ONNC                  9 rows: median 16.4%, 90th 22.8%, worst 23.5%
    HALE                 21 rows: median  6.8%, 90th 11.4%, worst 12.8%
    ST Edge AI Core      13 rows: median 13.9%, 90th 17.9%, worst 23.2%
    cycles a MAC constant: median 23.4%, 90th 64.1%, worst 107.8%
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from edgebench.footprint.latency import Counts, counts
from edgebench.profiling import profile

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden" / "latency.json"
FITTED = ROOT / "edgebench" / "footprint" / "latency.json"
PRIOR = np.array([1.0, 5.0, 1.0, 10.0, 15.0])  # weak: rounded coefficients of the first fit
RIDGE = 0.01
LEAST_NETWORKS = 2
DENSE = "autoencoder"
ST = ("Cube.AI", "ST Edge AI Core")
GATED = {"EfficientNet-LC"}  # sigmoid gates: `estimate` gives it a wider interval


@dataclass(frozen=True)
class Row:
    """One measurement: which network on which core by which tool, and its cycles."""

    network: str
    core: str
    tool: str
    version: str
    cycles: float
    live: bool = False  # the tool skips dead channels

    @property
    def cell(self) -> tuple[str, str, str]:
        """What shares a scale."""
        return self.core, self.tool, self.version


# Fitting ------------------------------------------------------------------------------------------


def fit(rows: Sequence[Row], figures: Mapping[str, Counts]) -> tuple[np.ndarray, dict[Any, float]]:
    """Return shape and scales, in turns: least squares of predicted / measured - 1, and medians."""
    matrix = np.array([_vector(row, figures) for row in rows])
    cycles = np.array([row.cycles for row in rows])
    cells = sorted({row.cell for row in rows})
    index = np.array([cells.index(row.cell) for row in rows])
    shape = PRIOR.copy()
    scale = np.ones(len(cells))
    for _ in range(200):
        ratio = matrix @ shape / cycles
        for cell in range(len(cells)):
            own = ratio[index == cell]
            scale[cell] = _middle(own)
        left = matrix * (scale[index] / cycles)[:, None]
        weight = np.sqrt(RIDGE * len(rows)) / PRIOR
        found, _ = nnls(
            np.vstack([left, np.diag(weight)]), np.concatenate([np.ones(len(rows)), weight * PRIOR])
        )
        shape = found / found[0]
    ratio = matrix @ shape / cycles
    for cell in range(len(cells)):
        own = ratio[index == cell]
        scale[cell] = _middle(own)
    return shape, dict(zip(cells, scale, strict=True))


def _middle(ratios: np.ndarray) -> float:
    """Return the scale that suits the median network of a cell: most have three.

    One odd network (gates, dead channels that a tool skips) then moves none of the others.
    """
    return float(np.exp(-np.median(np.log(ratios))))


def _vector(row: Row, figures: Mapping[str, Counts]) -> list[float]:
    found = figures[row.network + (" live" if row.live else "")]
    return [found.macs, found.depthwise, found.dense, found.outputs, found.moved]


def left_out(rows: Sequence[Row], figures: Mapping[str, Counts]) -> list[tuple[Row, float]]:
    """Return predicted / measured - 1 of each row, by a fit without any row of its network."""
    found = []
    for network in sorted({row.network for row in rows}):
        rest = [row for row in rows if row.network != network]
        shape, scale = fit(rest, figures)
        for row in rows:
            if row.network == network and row.cell in scale:
                units = float(np.dot(_vector(row, figures), shape))
                found.append((row, scale[row.cell] * units / row.cycles - 1))
    return found


def left_out_by_macs(rows: Sequence[Row], figures: Mapping[str, Counts]) -> list[float]:
    """Return the same errors for a constant number of cycles a multiply-accumulate."""
    found = []
    for row in rows:
        rest = [one for one in rows if one.cell == row.cell and one.network != row.network]
        if rest:
            rate = np.mean([one.cycles / _vector(one, figures)[0] for one in rest])
            found.append(float(rate * _vector(row, figures)[0] / row.cycles - 1))
    return found


def summary(errors: Iterable[float]) -> tuple[float, float, float]:
    """Return median, 90th percentile and largest of the absolute errors."""
    sizes = np.abs(list(errors))
    return float(np.median(sizes)), float(np.percentile(sizes, 90)), float(sizes.max())


def report(rows: Sequence[Row], figures: Mapping[str, Counts]) -> dict[str, Any]:
    """Print the errors by core and tool; return what ships."""
    shape, scale = fit(rows, figures)
    errors = left_out(rows, figures)
    networks = [(row, error) for row, error in errors if row.network != DENSE]
    names = ("macs", "depthwise", "dense", "outputs", "moved")
    shown = dict(zip(names, shape, strict=True))
    print("shape: " + ", ".join(f"{name} {value:.2f}" for name, value in shown.items()))
    print("\ncore        tool             version   scale  rows nets   median   90th  worst")
    overall = summary(error for _, error in networks)
    shipped = []
    for cell in sorted(scale):
        own = [error for row, error in networks if row.cell == cell]
        used = {row.network for row in rows if row.cell == cell and row.network != DENSE}
        if not own or len(used) < LEAST_NETWORKS:
            continue
        median, high, worst = summary(own)
        print(
            f"{cell[0]:11} {cell[1]:16} {cell[2]:8} {scale[cell]:6.2f} {len(own):5} {len(used):4} "
            f"{median:8.1%} {high:6.1%} {worst:6.1%}"
        )
        shipped.append({
            "core": cell[0], "tool": cell[1], "version": cell[2],
            "cycles": round(float(scale[cell]), 3), "rows": len(own), "networks": len(used),
            "error": round(max(high, overall[1]), 3),
        })  # fmt: skip
    _groups(networks, rows, figures)
    return {"shape": {name: round(float(shown[name]), 2) for name in names[1:]}, "scales": shipped}


def _groups(
    errors: Sequence[tuple[Row, float]], rows: Sequence[Row], figures: Mapping[str, Counts]
) -> None:
    """Print the errors of all rows together, by core and by tool; and by network."""
    print()
    by: dict[str, list[float]] = defaultdict(list)
    bias: dict[str, list[float]] = defaultdict(list)
    for row, error in errors:
        plain = () if row.network in GATED else ("all without gates",)
        vendor = ("the vendor's tools",) if row.tool in ST else ()
        for group in ("all", *plain, *vendor, row.core, row.tool):
            by[group].append(error)
        bias[row.network].append(error)
    for group, own in by.items():
        median, high, worst = summary(own)
        print(f"{group:18} {len(own):4} rows: median {median:5.1%}, 90th {high:5.1%}, "
              f"worst {worst:5.1%}")  # fmt: skip
    cnns = [row for row in rows if row.network != DENSE]
    median, high, worst = summary(left_out_by_macs(cnns, figures))
    print(f"cycles a MAC constant: median {median:.1%}, 90th {high:.1%}, worst {worst:.1%}")
    print("\nby network, mean error: " + ", ".join(
        f"{name} {np.mean(own):+.0%}" for name, own in sorted(bias.items())
    ))  # fmt: skip


# Rows ---------------------------------------------------------------------------------------------

DROPPED = {
    *range(4, 8), *range(24, 32), 18, 50,  # no tool version is printed
    17, 48, 49, 79,  # hybrid precision
    *range(32, 37),  # support vector machines
    52, *range(206, 209),  # float
    174, 175, 176, 177,  # a second submitter's copies of 123, 124, 127, 128
    56, 72,  # 1,000 classes, joined to a graph of 5
    1, 3, 11, 13, 21, 23, 40, 43, 59, 62, 65, 67,  # the architecture is not certain
    217, 226, 231, 232,  # builds for most speed or least memory
    *range(241, 267),  # TinyMaix: whole milliseconds, the fastest type of each chip
}  # fmt: skip

NETWORKS = {
    "FC autoencoder": DENSE, "ResNet-8": "ResNet-8", "DS-CNN": "DS-CNN",
    "MobileNetV1 0.25 (MLPerf": "MobileNetV1 0.25 96", "ResNet v1 8": "ResNet-8",
    "ST EfficientNet": "EfficientNet-LC", "MobileNet v1 0.25": "MobileNetV1 0.25 96 grey",
    "MobileNet v2 0.35": "MobileNetV2 0.35 128", "MobileNet v1 1.0": "MobileNetV1 1.0 224",
    "MobileNet v2 1.0": "MobileNetV2 1.0 224", "SqueezeNet v1.1": "SqueezeNet 1.1 224",
    "ST MNIST": "ST-MNIST", "MiniResNet 1": "MiniResNet", "miniresnet v2 1": "MiniResNetV2",
}  # fmt: skip
GRAPHS = {
    "ResNet-8": "pretrainedResnet_quant_cd5db9.onnx",
    "MobileNetV1 0.25 96": "vww_96_int8_ccfa03.onnx",
    "EfficientNet-LC": "st_efficientnet_lc_v1_128_tfs_int8_fd527f.onnx",
    "MobileNetV2 0.35 128": "mobilenet_v2_0.35_128_fft_int8_e44488.onnx",
    "FD-MobileNet 0.25 128": "fdmobilenet_0.25_128_tfs_int8_80fc29.onnx",
    "ST-MNIST": "stmnist_v1_int8_5d67df.onnx",
}
LIVE = {"MobileNetV1 0.25 96": Counts(3_742_091, 638_523, 44, 119_826, 198)}
"""Counts without the channels that are constant (read from the published file)."""


def network_of(row: Mapping[str, Any]) -> str:
    """Return the network of a measured row, by the name that the vendor or benchmark gives it."""
    name = row["model"]
    if name.startswith("FdMobileNet 0.25"):
        return "FD-MobileNet 0.25 " + ("224" if "224" in name else "128")
    found = next(short for prefix, short in NETWORKS.items() if name.startswith(prefix))
    if found.startswith("MiniResNet"):
        return f"{found} {'tl' if '_tl_' in row['file'] else 'whole'}"
    return found


def tool_of(text: str) -> tuple[str, str] | None:
    """Return tool and version from the text of a row; None for those without a model."""
    for pattern, tool in (
        (r"(?:X-CUBE-AI v|STM32Cube\.AI )(\d+\.\d+)", "Cube.AI"),
        (r"ST Edge AI Core (\d+\.\d+)", "ST Edge AI Core"),
        (r"^(\d+\.\d+)\.\d+$", "Cube.AI"),
        (r"\(HALE\) version ([\d.]+)", "HALE"),
        (r"Plumerai Inference Engine (2023\.05)", "Plumerai"),
        (r"ONNC.*-(mbed|zephyr)", "ONNC"),
        (r"microTVM.*(CMSIS-NN|NATIVE)", "microTVM"),
    ):
        match = re.search(pattern, text)
        if match:
            return tool, match.group(1).lower()
    return ("Plumerai", "2022") if text.startswith("Plumerai") else None


def cleaned(path: Path) -> list[Row]:
    """Return the usable rows of a file of measurements."""
    found = []
    for number, row in enumerate(json.loads(path.read_text(encoding="utf-8"))):
        core = re.search(r"Cortex®?-(M\d+)", row["core"])
        tool = tool_of(str(row["tool_version"]))
        if number in DROPPED or core is None or core[1] not in ("M4", "M7", "M33") or tool is None:
            continue
        network = network_of(row)
        newer = tool[0] in ("Cube.AI", "ST Edge AI Core") and float(tool[1]) not in (7.1, 7.3, 8.0)
        live = network in LIVE and (newer or tool == ("Plumerai", "2023.05") or tool[0] == "ONNC")
        cycles = row["inference_ms"] * row["clock_mhz"] * 1000
        found.append(Row(network, f"Cortex-{core[1]}", *tool, cycles, live))
    return found


def figures_of(rows: Sequence[Row], graphs: Path) -> dict[str, Counts]:
    """Return the counts of every network, from its graph or its definition."""
    sys.path.insert(0, str(ROOT / "tests"))
    import latency_networks

    names = GRAPHS | {
        f"{base} {part}": next(graphs.glob(f"{stem}_1stacks_64x50_{infix}int8_*")).name
        for base, stem in (("MiniResNet", "miniresnet"), ("MiniResNetV2", "miniresnetv2"))
        for part, infix in (("tl", "tl_"), ("whole", ""))
    }
    found: dict[str, Counts] = {}
    for name in sorted({row.network for row in rows}):
        drawn = latency_networks.DEFINED.get(name)
        found[name] = counts(profile(drawn() if drawn else graphs / names[name]))
        if name in LIVE:
            found[f"{name} live"] = LIVE[name]
    return found


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--graphs", type=Path)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    if given.rows:
        rows = cleaned(given.rows)
        golden = {
            "networks": {n: asdict(c) for n, c in figures_of(rows, given.graphs).items()},
            "rows": [asdict(row) | {"cycles": round(row.cycles)} for row in rows],
        }
        GOLDEN.write_text(_lines(golden), encoding="utf-8")
    data = json.loads(GOLDEN.read_text(encoding="utf-8"))
    rows = [Row(**row) for row in data["rows"]]
    figures = {name: Counts(**row) for name, row in data["networks"].items()}
    found = report(rows, figures)
    if given.write:
        FITTED.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {FITTED.relative_to(ROOT)}")


def _lines(golden: Mapping[str, Any]) -> str:
    """Return the golden file as JSON, a row a line."""
    networks = ",\n".join(
        f"  {json.dumps(n)}: {json.dumps(c)}" for n, c in golden["networks"].items()
    )
    rows = ",\n".join(f"  {json.dumps(row)}" for row in golden["rows"])
    return f'{{\n "networks": {{\n{networks}\n }},\n "rows": [\n{rows}\n ]\n}}\n'


if __name__ == "__main__":
    main()
