"""PyTorch to ONNX: the exporter, called so that it is silent and leaves the user's model alone."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from types import MappingProxyType
from typing import TYPE_CHECKING

import onnx

from edgebench.errors import EdgebenchError
from edgebench.export.canonical import canonical

if TYPE_CHECKING:
    import torch

OPSETS = range(18, 23)  # the exporter honours no opset below 18
_NOISY = ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")
_NO_METADATA: Mapping[str, str] = MappingProxyType({})


def to_onnx(
    model: torch.nn.Module,
    input_shape: tuple[int, int, int],
    *,
    opset: int = 18,
    softmax: bool = False,
    metadata: Mapping[str, str] = _NO_METADATA,
) -> onnx.ModelProto:
    """Export a copy of ``model`` in evaluation mode, batch norms folded, in canonical form.

    ``input_shape`` is ``(channels, height, width)``. The user's model is neither moved nor
    changed, nothing is printed, and the same weights give the same bytes (`serialize`).

    Raises:
        EdgebenchError: the opset is outside 18..22, or PyTorch cannot export the model.
    """
    import torch

    check_opset(opset)
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    twin = twin.to(memory_format=torch.contiguous_format)
    try:
        with _silence(), torch.no_grad():
            program = torch.onnx.export(
                twin,
                (torch.zeros(2, *input_shape),),
                input_names=["input"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                opset_version=opset,
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.errors.OnnxExporterError, RuntimeError, ValueError) as error:
        first = str(error.__cause__ or error).strip().splitlines()[0]
        raise EdgebenchError(
            f"the model cannot be exported for input {'x'.join(map(str, input_shape))}: {first}"
        ) from error
    assert program is not None  # noqa: S101 - None only where a path is given
    return canonical(program.model_proto, twin, softmax=softmax, metadata=metadata)


def check_opset(opset: int) -> None:
    """Refuse an opset that the exporter would silently not honour; raises EdgebenchError."""
    if opset not in OPSETS:
        close = min(max(opset, OPSETS[0]), OPSETS[-1])
        raise EdgebenchError(
            f"opset {opset} is not one of {OPSETS[0]} to {OPSETS[-1]}; the nearest is {close}"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's prints, warnings and log lines off the user's terminal."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
