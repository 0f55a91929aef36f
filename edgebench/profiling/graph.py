"""The graph while it is being simplified: its nodes and values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

Array = npt.NDArray[Any]
SMALL = 16_384  # elements; a constant up to this size may be folded by value


@dataclass
class Value:
    """A tensor of the graph; ``tensor`` is the initializer where it is a stored constant.

    ``dtype`` is the type it is held in: a dequantised weight keeps the integers it is stored as,
    and ``reference`` the initializer that holds them. ``scale``, ``zero_point`` and ``axis`` are
    its quantisation parameters.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    tensor: TensorProto | None = None
    array: Array | None = None
    reference: str | None = None
    scale: str | None = None
    zero_point: str | None = None
    axis: int | None = None
    dequantised: bool = False  # held in integers, a float to the operators that read it

    def data(self) -> Array | None:
        """Return the value of a small constant, or None where it is not stored or is large."""
        stored = self.tensor is not None and self.tensor.data_location != TensorProto.EXTERNAL
        if self.array is None and stored and self.tensor and np.prod(self.shape) <= SMALL:
            try:
                self.array = numpy_helper.to_array(self.tensor)
            except (ValueError, TypeError):  # a sketch names the dimensions and stores nothing
                self.tensor = None
        return self.array


@dataclass
class Node:
    """One operator of the graph; ``folded`` names the nodes that were merged into it."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    known: bool = True


@dataclass
class Graph:
    """Nodes in an order they can run in, and the values between them."""

    name: str
    nodes: list[Node]
    values: dict[str, Value]
    inputs: list[str]
    outputs: list[str]

    def producers(self) -> dict[str, Node]:
        """Map each computed value to the node that writes it."""
        return {name: node for node in self.nodes for name in node.outputs}

    def consumers(self) -> dict[str, list[Node]]:
        """Map each value to the nodes that read it, once per read."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                found.setdefault(name, []).append(node)
        return found

    def is_constant(self, name: str) -> bool:
        """Tell whether ``name`` is known before the graph runs."""
        return name != "" and self.values[name].constant

    def data(self, name: str) -> Array | None:
        """Return the value of a small constant, or None."""
        return self.values[name].data() if name else None

    def activations(self, node: Node) -> list[str]:
        """Return the inputs of ``node`` that are computed, not constant."""
        return [name for name in node.inputs if name and not self.values[name].constant]

    def replace(self, old: str, new: str) -> None:
        """Let every reader of ``old``, and the graph's outputs, read ``new``."""
        for node in self.nodes:
            node.inputs = [new if name == old else name for name in node.inputs]
        self.outputs = [new if name == old else name for name in self.outputs]

    def remove(self, nodes: Iterable[Node]) -> None:
        """Drop ``nodes``."""
        gone = {id(node) for node in nodes}
        self.nodes = [node for node in self.nodes if id(node) not in gone]
