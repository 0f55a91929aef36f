"""The graph while it is being simplified: its nodes and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from edgebench.errors import EdgebenchError

if TYPE_CHECKING:
    from edgebench.profiling.inference import Declared

Array = npt.NDArray[Any]
SMALL = 16_384  # elements; a constant up to this size may be folded by value


@dataclass(frozen=True)
class Scale:
    """The values that hold a scale and a zero point; ``axis`` is the one that scales lie along."""

    scale: str | None
    zero_point: str | None = None
    axis: int | None = None


@dataclass(slots=True)
class Value:
    """A tensor of the graph; ``tensor`` is the initializer where it is a stored constant.

    ``dtype`` is the type it is held in: a dequantized weight keeps the integers it is stored as,
    and ``reference`` the initializer that holds them. ``quantization`` are its parameters.
    ``compute`` makes the data of a constant that is neither stored nor small, ``decode`` the floats
    that a dequantized one stands for.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: bool = False
    tensor: TensorProto | None = None
    array: Array | None = None
    reference: str | None = None
    quantization: Scale | None = None
    dequantized: bool = False  # held in integers, a float to the operators that read it
    compute: Callable[[], Array] | None = None
    decode: Callable[[], Array] | None = None

    def data(self) -> Array | None:
        """Return the value of a small constant, or None where it is not stored or is large."""
        stored = self.tensor is not None and self.tensor.data_location != TensorProto.EXTERNAL
        if self.array is None and stored and self.tensor and prod(self.shape) <= SMALL:
            try:
                self.array = _array_of(self.tensor)
            except (ValueError, TypeError):  # names the dimensions and stores nothing
                self.tensor = None
        return self.array

    def content(self) -> Array:
        """Return the value of a constant of any size, in the type that it is held in.

        Raises:
            EdgebenchError: The model names the dimensions of the constant and stores no data.
        """
        if self.data() is None:
            try:
                if self.tensor is not None:
                    self.array = _array_of(self.tensor)
                elif self.compute is not None:
                    self.array = self.compute()
            except (ValueError, TypeError) as error:
                raise EdgebenchError(f"the constant '{self.name}' has no data: {error}") from error
        if self.array is None:
            raise EdgebenchError(f"the constant '{self.name}' has no data")
        return self.array

    def real(self) -> Array:
        """Return the numbers of a constant as the operators that read it see them."""
        return self.decode() if self.decode is not None else self.content()


def _array_of(tensor: TensorProto) -> Array:
    """Return the data of an initializer; raises ValueError where it has not that of its shape."""
    array: Array = np.asarray(numpy_helper.to_array(tensor))
    if array.shape != tuple(tensor.dims):
        raise ValueError("its data does not have its shape")
    return array


@dataclass(slots=True)
class Node:
    """One operator of the graph; ``folded`` names the nodes that were merged into it.

    Attributes:
        op: The ONNX operator, of the standard where one computes the same.
        rewritten: It stood in another domain under another name.
        result_dtype: The type of its results where the operator's name says it.
        scales: The quantization of an input as this node reads it, by position.
        output_scale: The quantization of its result where the node itself names it.
        fused: An activation that the operator carries, as a node without inputs.
        pooled: The sides that a reduction averages or maximizes like a pool.
        free: It moves nothing on a device, although its name says otherwise.
        known: ONNX describes it.
        own_pads: The pads of a convolution before a Pad of the graph was merged into them.
    """

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any] = field(default_factory=dict)
    folded: list[str] = field(default_factory=list)
    known: bool = True
    rewritten: bool = False
    result_dtype: str | None = None
    scales: dict[int, Scale] = field(default_factory=dict)
    output_scale: Scale | None = None
    fused: Node | None = None
    pooled: tuple[int, ...] | None = None
    free: bool = False
    own_pads: tuple[int, ...] | None = None


class Graph:
    """Nodes in an order they can run in, and the values between them.

    ``declared`` has the versions of the operators. Who writes and who reads a value is kept up to
    date, so that a pass over the graph costs its length and no more: rewrites go through
    `set_input`, `replace`, `remove` and `bypass`.
    """

    def __init__(
        self,
        name: str,
        values: dict[str, Value],
        declared: Declared,
        *,
        nodes: Iterable[Node] = (),
        inputs: Iterable[str] = (),
        outputs: Iterable[str] = (),
    ) -> None:
        self.name = name
        self.values = values
        self.declared = declared
        self.inputs = list(inputs)
        self.input_types: dict[str, str] = {}  # in the file, of inputs that became integers
        self.lite = False  # read from a TFLite file
        self.outputs: list[str] = []
        self._output_names: set[str] = set()
        for output in outputs:
            self.add_output(output)
        self.output_types = [values[name].dtype for name in self.outputs]  # in the file
        self._nodes: dict[int, Node] = {}
        self._writers: dict[str, Node] = {}
        self._readers: dict[str, dict[int, Node]] = {}
        for node in nodes:
            self._enter(node)

    @property
    def nodes(self) -> list[Node]:
        """The nodes in order; a copy, so that a pass may change the graph while it walks."""
        return list(self._nodes.values())

    def _enter(self, node: Node) -> None:
        self._nodes[id(node)] = node
        for name in node.outputs:
            self._writers[name] = node
        for name in node.inputs:
            self._readers.setdefault(name, {})[id(node)] = node

    def add_output(self, name: str) -> None:
        """Make a value an output of the graph."""
        self.outputs.append(name)
        self._output_names.add(name)

    def is_output(self, name: str) -> bool:
        """Tell whether a value is an output of the graph."""
        return name in self._output_names

    def __contains__(self, node: Node) -> bool:
        """Tell whether ``node`` is still in the graph."""
        return id(node) in self._nodes

    def writer(self, name: str) -> Node | None:
        """Return the node that computes a value, or None for inputs and constants."""
        return self._writers.get(name)

    def readers(self, name: str) -> list[Node]:
        """Return the nodes that read a value, each once."""
        return list(self._readers.get(name, {}).values())

    def only_reader(self, name: str) -> Node | None:
        """Return the one node that reads a value, once, which is no output; None otherwise."""
        found = self.readers(name)
        alone = len(found) == 1 and found[0].inputs.count(name) == 1
        return found[0] if alone and name not in self._output_names else None

    def is_constant(self, name: str) -> bool:
        """Tell whether ``name`` is known before the graph runs."""
        return name != "" and self.values[name].constant

    def data(self, name: str) -> Array | None:
        """Return the value of a small constant, or None."""
        return self.values[name].data() if name else None

    def activations(self, node: Node) -> list[str]:
        """Return the inputs of ``node`` that are computed, not constant."""
        return [name for name in node.inputs if name and not self.values[name].constant]

    def fresh(self, name: str) -> str:
        """Return ``name``, or the first name like it that no value has."""
        found, count = name, 1
        while found in self.values:
            count += 1
            found = f"{name}.{count}"
        return found

    def set_input(self, node: Node, position: int, name: str) -> None:
        """Let ``node`` read ``name`` at a position, which may be the next one."""
        while len(node.inputs) <= position:
            node.inputs.append("")
        old = node.inputs[position]
        node.inputs[position] = name
        if old not in node.inputs:
            self._readers.get(old, {}).pop(id(node), None)
        self._readers.setdefault(name, {})[id(node)] = node

    def replace(self, old: str, new: str) -> None:
        """Let every reader of ``old``, and the graph's outputs, read ``new``."""
        for node in self._readers.pop(old, {}).values():
            node.inputs = [new if name == old else name for name in node.inputs]
            self._readers.setdefault(new, {})[id(node)] = node
        if old in self._output_names:
            self.outputs = [new if name == old else name for name in self.outputs]
            self._output_names = set(self.outputs)

    def remove(self, node: Node) -> None:
        """Drop ``node``."""
        del self._nodes[id(node)]
        for name in node.outputs:
            self._writers.pop(name, None)
        for name in node.inputs:
            self._readers.get(name, {}).pop(id(node), None)

    def bypass(self, node: Node) -> None:
        """Let the readers of ``node`` read its first input, and drop it."""
        self.replace(node.outputs[0], node.inputs[0])
        self.remove(node)
