"""EdgeBench beside other profilers on the same models, in one process.

Run: ``python benchmarks/profilers.py`` (about a minute; needs ``pip install torchinfo ptflops
onnx-tool`` besides the project). A tool that is not installed is named and left out.

Truth is counted by hand: output elements times the weights each meets, of convolutions and linear
layers, and of attention's two products. Milliseconds are the median of 7 runs after one, from a
built model in memory to the figures (onnx-tool: from the exported model; EdgeBench's gate includes
its sketch). Last printed result, on two cores that other work shared (so the milliseconds are
upper ones):

    vgg: 43,722,752 multiply-accumulates by hand
    edgebench (gate)        3.9 ms   43,722,752    +0.00 %  4,576,394  94,316 B (planned arena)
    edgebench (file)        1.9 ms   43,722,752    +0.00 %  4,576,394  94,316 B (planned arena)
    fvcore                195.5 ms   43,952,128    +0.52 %          -  -
    torch flop_counter    192.0 ms   87,445,504  2 x exact          -  -
    torchinfo              12.1 ms   43,724,682    +0.00 %  4,576,842  1,843,280 B (outputs summed)
    ptflops                13.6 ms   44,413,962    +1.58 %  4,576,842  -
    onnx-tool              17.1 ms   44,068,874    +0.79 %  4,576,394  19,362,384 B (tensors summed)

    gap: 39,520,768 multiply-accumulates by hand
    edgebench (gate)       10.7 ms   39,520,768    +0.00 %    373,386  94,316 B (planned arena)
    edgebench (file)        5.9 ms   39,520,768    +0.00 %    373,386  94,316 B (planned arena)
    fvcore                 78.4 ms   39,754,240    +0.59 %          -  -
    torch flop_counter     15.8 ms   79,041,536  2 x exact          -  -
    torchinfo               6.1 ms   39,521,674    +0.00 %    373,834  1,835,088 B (outputs summed)
    ptflops                10.2 ms   40,217,098    +1.76 %    373,834  -
    onnx-tool               0.7 ms   39,869,962    +0.88 %    373,386  2,527,824 B (tensors summed)
"""

from __future__ import annotations

import contextlib
import io
import logging
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import onnx
import torch
from torch import nn

from edgebench.export import to_onnx, untrained_graph
from edgebench.footprint import measure
from edgebench.models import MODELS
from edgebench.profiling import profile

SHAPE = (3, 32, 32)
RUNS = 7


@dataclass(frozen=True)
class Answer:
    """What a tool says: multiply-accumulates, parameters as deployed, peak RAM in bytes."""

    macs: float | None
    parameters: int | None = None
    ram: int | None = None
    ram_means: str = ""


def truth(model: nn.Module) -> int:
    """Count convolutions and linear layers by the shapes that they are called with."""
    total = 0

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.inference_mode():
        model(torch.zeros(1, *SHAPE))
    for hook in hooks:
        hook.remove()
    return total


def edgebench_gate(model: nn.Module, _: onnx.ModelProto) -> Answer:
    """Sketch the graph, profile it, measure its footprint."""
    found = measure(profile(untrained_graph(model, SHAPE)))
    return Answer(found.macs, found.parameters, found.activations_bytes, "planned arena")


def edgebench_file(_: nn.Module, exported: onnx.ModelProto) -> Answer:
    """Profile the exported graph."""
    found = measure(profile(exported))
    return Answer(found.macs, found.parameters, found.activations_bytes, "planned arena")


def fvcore(model: nn.Module, _: onnx.ModelProto) -> Answer:
    """fvcore.nn.FlopCountAnalysis."""
    from fvcore.nn import FlopCountAnalysis

    return Answer(FlopCountAnalysis(model, torch.zeros(1, *SHAPE)).total())


def torch_counter(model: nn.Module, _: onnx.ModelProto) -> Answer:
    """torch.utils.flop_counter: floating point operations, two a multiply-accumulate."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, *SHAPE))
    return Answer(counter.get_total_flops())


def torchinfo(model: nn.Module, _: onnx.ModelProto) -> Answer:
    """torchinfo.summary."""
    from torchinfo import summary

    found = summary(model, (1, *SHAPE), verbose=0)
    return Answer(
        found.total_mult_adds, found.total_params, found.total_output_bytes, "outputs summed"
    )


def ptflops(model: nn.Module, _: onnx.ModelProto) -> Answer:
    """ptflops, its default backend."""
    from ptflops import get_model_complexity_info

    macs, parameters = get_model_complexity_info(
        model, SHAPE, as_strings=False, print_per_layer_stat=False, backend="pytorch"
    )
    return Answer(macs, parameters)


def onnx_tool(_: nn.Module, exported: onnx.ModelProto) -> Answer:
    """onnx-tool on the exported graph."""
    import numpy as np
    import onnx_tool as tool

    found = tool.Model(exported)
    found.graph.shape_infer({"input": tool.create_ndarray_f32((1, *SHAPE))})
    found.graph.profile()
    macs = float(np.asarray(found.graph.macs).reshape(-1)[0])
    return Answer(macs, int(found.graph.params), int(found.graph.memory), "tensors summed")


TOOLS: dict[str, Callable[[nn.Module, onnx.ModelProto], Answer]] = {
    "edgebench (gate)": edgebench_gate,
    "edgebench (file)": edgebench_file,
    "fvcore": fvcore,
    "torch flop_counter": torch_counter,
    "torchinfo": torchinfo,
    "ptflops": ptflops,
    "onnx-tool": onnx_tool,
}


MISSES = {
    "edgebench": "nothing below; MACC, ROM, scratch, offsets and the target's verdict come with it",
    "fvcore": "adds batch norms and pools to the count; no deployed parameters, no memory",
    "torch flop_counter": "two operations a multiply-accumulate; nothing but operations",
    "torchinfo": "counts biases; batch norms unfolded; memory as the sum of all outputs",
    "ptflops": "adds biases, batch norms, ReLUs and pools; batch norms unfolded; no memory",
    "onnx-tool": "adds biases, ReLUs and pools; memory as the sum of all tensors",
}


def timed(call: Callable[[], Answer]) -> tuple[Answer, float]:
    """Return the answer and the median milliseconds, after one run to warm up."""
    answer, seconds = call(), []
    for _ in range(RUNS):
        begin = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - begin)
    return answer, 1000 * statistics.median(seconds)


def row(tool: str, answer: Answer, milliseconds: float, true: int) -> str:
    """Return a line of the table; deviations are from the count by hand."""
    macs = answer.macs or 0
    deviation = f"{100 * (macs / true - 1):+.2f} %" if macs else "-"
    if macs == 2 * true:
        deviation = "2 x exact"
    memory = f"{answer.ram:,} B ({answer.ram_means})" if answer.ram else "-"
    parameters = f"{answer.parameters:,}" if answer.parameters else "-"
    return (
        f"{tool:<19} {milliseconds:>7.1f} ms {int(macs):>12,} {deviation:>10} "
        f"{parameters:>10}  {memory}"
    )


def main() -> None:
    """Print one table a model."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    for family in ("vgg", "gap"):
        model = MODELS[family](SHAPE, 10).eval()
        exported, true = to_onnx(model, SHAPE), truth(model)
        print(f"{family}: {true:,} multiply-accumulates by hand")
        for tool, ask in TOOLS.items():
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    answer, milliseconds = timed(partial(ask, model, exported))
            except ImportError as missing:
                print(f"{tool:<19} not installed ({missing.name})")
                continue
            print(row(tool, answer, milliseconds, true))
        print()
    for tool, missing in MISSES.items():
        print(f"{tool:<19} {missing}")


if __name__ == "__main__":
    main()
