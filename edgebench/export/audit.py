"""The second source: fvcore counts the PyTorch model, our profile counts the ONNX graph."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

ATTENTION = "scaled_dot_product_attention"
CONVOLUTION = "_convolution_mode"  # with the padding `same` or `valid`
PRODUCTS = frozenset(
    {"conv", "linear", "matmul", "addmm", "mm", "bmm", "baddbmm", "einsum", ATTENTION, CONVOLUTION}
)
"""fvcore's names of the operators that are convolutions and matrix products."""


def count_macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products by fvcore, at batch 1.

    fvcore counts one fused multiply-add as one operation (its ``FlopCountAnalysis``); what it
    adds for norms and pooling is left out, so that both sides count the same thing. What it does
    not know is added: fused attention (`attention_macs`) and convolutions padded to ``same``. The
    model may be on the meta device: its weights are not read.
    """
    import torch

    from edgebench.export.twins import with_made_up_weights

    twin = with_made_up_weights(model)
    with warnings.catch_warnings(), _no_fast_path():
        # fvcore (last release 2022) stands on torch.jit, which PyTorch deprecates.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(twin, torch.zeros(1, *input_shape))
        analysis.set_op_handle(f"aten::{ATTENTION}", _attention)
        analysis.set_op_handle(f"aten::{CONVOLUTION}", _convolution)
        by_operator = analysis.unsupported_ops_warnings(False).by_operator()
    return int(sum(count for name, count in by_operator.items() if name in PRODUCTS))


@contextmanager
def _no_fast_path() -> Iterator[None]:
    """Let `nn.MultiheadAttention` call its parts: its fused form is one unknown operator."""
    from torch.backends import mha

    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


def attention_macs(query: Sequence[int], key: Sequence[int], value: Sequence[int]) -> int:
    """Return the multiply-accumulates of ``softmax(Q K^T) V`` from the shapes of its three inputs.

    ``query`` is ``[..., N, d]``, ``key`` ``[..., M, d]``, ``value`` ``[..., M, e]``: N M d for the
    scores and N M e for the mixture in each head; 2 N^2 d a head where all three are alike. The
    scaling and the softmax are no matrix products.
    """
    heads, (rows, width), columns = math.prod(query[:-2]), query[-2:], key[-2]
    return int(heads * rows * columns * (width + value[-1]))


def _attention(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:  # noqa: ARG001 - fvcore's
    query, key, value = (given.type().sizes() for given in inputs[:3])
    return attention_macs(query, key, value)


def _convolution(inputs: Sequence[Any], outputs: Sequence[Any]) -> int:
    """Count a convolution with the padding ``same`` or ``valid``: each output meets one filter."""
    weight, output = inputs[1].type().sizes(), outputs[0].type().sizes()
    return int(math.prod(output) * math.prod(weight[1:]))
