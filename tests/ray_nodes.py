"""A Ray cluster of several nodes on this machine, of Ray's own raylets and processes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")


@contextlib.contextmanager
def open_cluster(cores: int = 1, count: int = 2) -> Iterator[tuple[Any, list[Any]]]:
    """Run a head without cores and some nodes with ``cores`` each; yield cluster and nodes.

    Skips the test where Ray is not installed.
    """
    pytest.importorskip("ray", reason="Ray is not installed (pip install edgebench[cluster])")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [made.add_node(num_cpus=cores) for _ in range(count)]
        made.wait_for_nodes()
        yield made, nodes
    finally:
        made.shutdown()


@functools.cache
def cluster() -> Any:
    """Return a cluster of two nodes, kept until the end and found through RAY_ADDRESS."""
    kept = contextlib.ExitStack()
    made, _ = kept.enter_context(open_cluster())
    os.environ["RAY_ADDRESS"] = made.address
    atexit.register(_end, kept)
    return made


def _end(kept: contextlib.ExitStack) -> None:
    import ray

    ray.shutdown()
    os.environ.pop("RAY_ADDRESS", None)
    kept.close()
