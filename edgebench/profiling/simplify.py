"""Rewrites of the graph that every deployment tool makes before it counts or plans anything.

Each pass keeps the function of the graph: quantise/dequantise pairs become integer operators,
batch norms and per-channel factors fold into the convolution before them, zero pads into the
convolution after them, and transposes that only adapt the layout become free.
"""

from __future__ import annotations

from edgebench.profiling.folding import (
    expand_fused,
    fold_constants_into_linear,
    fold_norm_into_next,
    merge_pads,
)
from edgebench.profiling.graph import Graph
from edgebench.profiling.layout import free_identical, free_layout_transposes, means_are_pools
from edgebench.profiling.quantised import absorb_quantisation


def simplify(graph: Graph) -> Graph:
    """Apply every rewrite to ``graph``, in place, until none applies."""
    expand_fused(graph)
    while merge_pads(graph) or fold_constants_into_linear(graph):
        pass
    while fold_norm_into_next(graph):
        pass
    absorb_quantisation(graph)
    means_are_pools(graph)
    free_layout_transposes(graph)
    free_identical(graph)
    return graph
