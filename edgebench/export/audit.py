"""The second source: fvcore counts the PyTorch model, our profile counts the ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

PRODUCTS = frozenset({"conv", "linear", "matmul", "addmm", "mm", "bmm", "baddbmm", "einsum"})
"""fvcore's names of the operators that are convolutions and matrix products."""


def count_macs(model: nn.Module, input_shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of convolutions and matrix products by fvcore, at batch 1.

    fvcore counts one fused multiply-add as one operation (its ``FlopCountAnalysis``); what it
    adds for norms and pooling is left out, so that both sides count the same thing.
    """
    import torch

    with warnings.catch_warnings():
        # fvcore (last release 2022) stands on torch.jit, which PyTorch deprecates.
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        shadow = copy.deepcopy(model).to("cpu").eval()
        logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
        analysis = FlopCountAnalysis(shadow, torch.zeros(1, *input_shape))
        by_operator = analysis.unsupported_ops_warnings(False).by_operator()
    return int(sum(count for name, count in by_operator.items() if name in PRODUCTS))
