"""The same sweep on this machine's processes and on a Ray cluster of two nodes: the same rows.

Run: python benchmarks/cluster/same_rows.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
# ruff: noqa: E402 - the checkout's own package
import edgebench

SWEEP: dict[str, Any] = {
    "name": "same",
    "dataset": "digits",
    "method": "random",  # draws do not depend on which trial ends first
    "run_cap": 8,
    "early_stop": "none",
    "metrics": [
        {"name": "val/accuracy_best", "goal": "maximize"},
        {"name": "footprint/rom_bytes", "goal": "minimize"},
    ],
    "parameters": {
        "model.family": {"values": ["vgg", "gap"]},
        "model.width": {"values": [8, 12, 16, 24]},
        "model.blocks": 2,
        "model.hidden": {"values": [16, 32], "when": {"model.family": "vgg"}},
        "train.epochs": 6,
    },
}


def sweep(folder: Path, pool: str) -> tuple[float, dict[int, tuple[object, ...]]]:
    """Run the sweep in a pool of two workers; return its seconds, and what the record holds."""
    (folder / "same.yaml").write_text(json.dumps(SWEEP))  # JSON is YAML
    begun = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "edgebench.cli", "sweep", "same.yaml", "--pool", pool,
         "--workers", "2", "--device", "cpu", "--quiet"],
        cwd=folder, check=True, stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    seconds = time.monotonic() - begun
    record = edgebench.read_study("same", tracking_uri=f"sqlite:///{folder}/mlruns/mlflow.db")
    return seconds, {
        row.trial: (
            str(row.state),
            dict(row.params),
            {name: value for name, value in row.metrics.items() if not name.startswith("time/")},
        )
        for row in record.rows
    }


def main() -> None:
    """Run both, the cluster between two local runs, and compare."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    from ray.cluster_utils import Cluster

    seconds: dict[str, float] = {}
    rows: dict[str, dict[int, tuple[object, ...]]] = {}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    pools = {"local": "local", "ray": f"ray://{cluster.address}", "local again": "local"}
    with tempfile.TemporaryDirectory() as name:
        for title, pool in pools.items():
            folder = Path(name) / title.replace(" ", "-")
            folder.mkdir()
            seconds[title], rows[title] = sweep(folder, pool)
    cluster.shutdown()
    for title, found in rows.items():
        same = sum(found.get(trial) == row for trial, row in rows["local"].items())
        print(
            f"{title}: {seconds[title]:.1f} s, {len(found)} rows, {same} of "
            f"{len(rows['local'])} equal to local's in state, parameters and every metric"
        )


if __name__ == "__main__":
    main()
