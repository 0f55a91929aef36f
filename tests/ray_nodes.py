"""A Ray cluster of several nodes on this machine, of Ray's own raylets and processes."""

from __future__ import annotations

import atexit
import functools
import os
from typing import Any

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@functools.cache
def cluster(cores: int = 1, nodes: int = 2) -> Any:
    """Return a cluster of a head without cores and of nodes with some each, kept until the end.

    It is found through RAY_ADDRESS from then on. Skips the test where Ray is not installed.
    """
    pytest.importorskip("ray", reason="Ray is not installed (pip install edgebench[cluster])")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(nodes):
        made.add_node(num_cpus=cores)
    made.wait_for_nodes()
    os.environ["RAY_ADDRESS"] = made.address
    atexit.register(_end, made)
    return made


def _end(made: Any) -> None:
    import ray

    ray.shutdown()
    os.environ.pop("RAY_ADDRESS", None)
    made.shutdown()
