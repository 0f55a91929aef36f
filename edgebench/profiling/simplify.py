"""Rewrites of the graph that every deployment tool makes before it counts or plans anything.

Each pass keeps the function of the graph: quantize/dequantize pairs become integer operators,
batch norms and per-channel factors fold into the convolution before them, zero pads into the
convolution after them, and transposes that only adapt the layout become free.
"""

from __future__ import annotations

from edgebench.profiling.folding import fold_constants_into_linear, merge_pads
from edgebench.profiling.graph import Graph
from edgebench.profiling.layout import free_identical, free_layout_transposes, means_are_pools
from edgebench.profiling.norms import fold_norm_into_next
from edgebench.profiling.quantized import absorb_quantization


def simplify(graph: Graph) -> Graph:
    """Apply every rewrite to ``graph``, in place; each pass walks the graph once."""
    merge_pads(graph)
    fold_constants_into_linear(graph)
    fold_norm_into_next(graph)
    absorb_quantization(graph)
    means_are_pools(graph)
    free_layout_transposes(graph)
    free_identical(graph)
    return graph
