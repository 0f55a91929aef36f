"""The first operator whose output diverges, found by comparing intermediate outputs.

The error of an operator is ``|a - b| / |a|`` in the Euclidean norm over a few images. Operators of
an export are named after their modules (``0.5/Conv``), so a PyTorch module and its operator can be
laid side by side; batch norms that were folded away count as their convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from edgebench.export.inference import Images, Values, intermediate_outputs

if TYPE_CHECKING:
    import torch

FLOAT_TOLERANCE = 1e-4  # rounding stays below 2e-5 at the end of 70 layers with instance norms
INT8_TOLERANCE = 0.1  # healthy int8 layers lie at 0.01 to 0.05


@dataclass(frozen=True)
class Divergence:
    """An operator, the relative error of its output, and the tolerance it was judged by.

    Where no operator is ``beyond`` the tolerance, it is the one at which the error grew most.
    """

    operator: str
    op: str
    error: float
    tolerance: float
    beyond: bool

    def __str__(self) -> str:
        """Say it in a message."""
        place = "the input (preprocessing)" if self.op == "Input" else f"'{self.operator}'"
        if self.beyond:
            return f"first diverging operator: {place}, relative error {self.error:.3g}"
        return (
            f"no operator's relative error is above {self.tolerance:g}; "
            f"it grows most at {place}, to {self.error:.3g}"
        )


def torch_divergence(
    model: torch.nn.Module, candidate: onnx.ModelProto, reference_input: Images, own_input: Images
) -> Divergence | None:
    """Lay the leaf modules of ``model`` beside the operators of its export.

    The inputs are the same images ``[N, C, H, W]``, as each side normalizes them. None where no
    operator has a module to compare with.
    """
    expected = _module_outputs(model, reference_input)
    found = _operator_outputs(candidate, own_input)
    last = {node.name.rpartition("/")[0]: node for node in candidate.graph.node}
    pairs = [("input", "Input", reference_input, own_input)]
    for node in candidate.graph.node:
        module = node.name.rpartition("/")[0]
        values = expected.get(module)
        value = found.get(node.output[0])
        if last[module] is node and values is not None and value is not None:
            pairs.append((node.name, node.op_type, values, value))
    return _first(pairs, FLOAT_TOLERANCE)


def onnx_divergence(
    reference: onnx.ModelProto,
    candidate: onnx.ModelProto,
    reference_input: Images,
    own_input: Images,
) -> Divergence | None:
    """Lay the operators of a float32 graph beside those of its int8 form, by value name.

    An activation that int8 merges into its convolution is named as that convolution.
    """
    expected = _operator_outputs(reference, reference_input)
    found = _operator_outputs(candidate, own_input)
    makers = {node.output[0]: node for node in candidate.graph.node}
    pairs = [("input", "Input", reference_input, own_input)]
    for node in reference.graph.node:
        name = node.output[0]
        value = found.get(f"{name}_DequantizeLinear_Output", found.get(name))
        maker = makers.get(name, node)
        if value is not None:
            blamed = node if maker.op_type == "DequantizeLinear" else maker
            pairs.append((blamed.name, blamed.op_type, expected[name], value))
    return _first(pairs, INT8_TOLERANCE)


def _first(pairs: list[tuple[str, str, Values, Values]], tolerance: float) -> Divergence | None:
    """Return the first pair beyond ``tolerance``, else the one with the largest growth."""
    grown: tuple[float, Divergence] | None = None
    before = 0.0
    for name, op, expected, value in pairs:
        error = _error(expected, value)
        if not error <= tolerance:  # a NaN is beyond every tolerance
            return Divergence(name, op, error, tolerance, beyond=True)
        if grown is None or error - before > grown[0]:
            grown = (error - before, Divergence(name, op, error, tolerance, beyond=False))
        before = error
    return grown[1] if grown else None


def _error(expected: Values, found: Values) -> float:
    if expected.size != found.size:
        return float("inf")
    left, right = expected.astype(np.float64).ravel(), found.astype(np.float64).ravel()
    length = float(np.linalg.norm(left))
    apart = float(np.linalg.norm(left - right))
    return apart / length if length else (float("inf") if apart else 0.0)


def _module_outputs(model: torch.nn.Module, images: Images) -> dict[str, Values]:
    """Return the output of each leaf module, by its path; those called twice are left out."""
    import copy

    import torch

    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    outputs: dict[str, Values] = {}
    again: set[str] = set()

    def keep(path: str) -> Any:
        def hook(_module: torch.nn.Module, _inputs: object, output: object) -> None:
            if path in outputs:
                again.add(path)
            if isinstance(output, torch.Tensor):
                outputs[path] = output.detach().clone().numpy()

        return hook

    for path, module in twin.named_modules():
        if path and not list(module.children()):
            module.register_forward_hook(keep(path))
    with torch.no_grad():
        twin(torch.from_numpy(images))
    return {path: values for path, values in outputs.items() if path not in again}


def _operator_outputs(model: onnx.ModelProto, images: Images) -> dict[str, Values]:
    """Return every float32 value that ``model`` computes on a few images, by name."""
    return next(intermediate_outputs(model, images, batch=len(images)))
