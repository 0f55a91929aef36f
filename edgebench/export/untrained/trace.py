"""The ATen operators that a model calls, recorded on the meta device: no weight, no arithmetic.

Below autograd every spelling of a layer (module, function, method, in place or not) is the same
ATen operator, so one record serves them all. Tensors on the meta device have shapes and no data,
and the batch costs nothing: it is a prime, by which its share of every dimension is recognised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from edgebench.export.twins import on_meta
from edgebench.export.untrained.shapes import result_of

BATCH = 10_007
"""A prime that is no other dimension: what it divides depends on the batch."""


class NoRuleError(Exception):
    """The model does something that only the real export can write down."""


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the trace: its shape with the batch as ``BATCH``, and whether it is a constant.

    A parameter, a buffer, and what is computed from these alone are constants.
    """

    shape: tuple[int, ...]
    constant: bool = False
    channels_last: bool = False  # in memory, as a permuted tensor is


@dataclass(frozen=True, eq=False)
class Call:
    """One ATen operator: its arguments by name with tensors as values, and what it returned."""

    op: str  # without its overload, and without the underscore of the form in place
    scope: str  # the path of the innermost module that was running
    arguments: Mapping[str, Any]
    outputs: tuple[Value, ...]

    def __getitem__(self, name: str) -> Any:
        """Return an argument; raises KeyError where the overload has none of that name."""
        return self.arguments[name]

    @property
    def output(self) -> Value:
        """The only result."""
        (only,) = self.outputs
        return only

    def sources(self) -> Iterator[Value]:
        """Yield the values among the arguments, those in lists too."""
        for argument in self.arguments.values():
            parts = argument if isinstance(argument, (list, tuple)) else (argument,)
            yield from (part for part in parts if isinstance(part, Value))


@dataclass(frozen=True)
class Trace:
    """The calls in order, from the one input to the one output."""

    calls: tuple[Call, ...]
    input: Value
    output: Value


def trace(model: nn.Module, input_shape: tuple[int, int, int], known: frozenset[str]) -> Trace:
    """Record what ``model`` calls in evaluation mode; the model itself is neither run nor changed.

    An operator that is not ``known`` is recorded by the smaller ones that PyTorch makes of it.

    Raises:
        NoRuleError: The model returns something else than one tensor.
    """
    twin = on_meta(model)
    recorder = _Recorder(known)
    for path, module in twin.named_modules():
        module.register_forward_pre_hook(recorder.entering(path))
        module.register_forward_hook(recorder.leaving, always_call=True)
    # In inference mode composite operators (linear, conv2d, layer_norm) arrive whole.
    with torch.inference_mode():
        image = torch.empty(BATCH, *input_shape, device="meta")
        source = recorder.add(image, constant=False)
        with recorder:
            logits = twin(image)
    if not isinstance(logits, Tensor):
        raise NoRuleError
    return Trace(tuple(recorder.calls), source, recorder.value_of(logits))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # PyTorch's __init_subclass__
    """Sees every operator below autograd, and knows in which module it was called."""

    def __init__(self, known: frozenset[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # PyTorch's
        self.known = known
        self.calls: list[Call] = []
        self.scopes = [""]
        self.values: dict[int, Value] = {}
        self.kept: list[Tensor] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Do without `torch.compile`, whose import takes a second; nothing here is compiled."""
        return False

    def entering(self, path: str) -> Callable[..., None]:
        """Return the hook that says that the module at ``path`` runs now."""

        def hook(_module: nn.Module, _inputs: object) -> None:
            self.scopes.append(path)

        return hook

    def leaving(self, _module: nn.Module, _inputs: object, _output: object) -> None:
        """Return to the module around the one that has run."""
        self.scopes.pop()

    def add(self, tensor: Tensor, *, constant: bool) -> Value:
        """Name ``tensor`` as a new value; it is kept alive, so that its id stays its own."""
        last = tensor.dim() == 4 and not tensor.is_contiguous()
        last = last and tensor.is_contiguous(memory_format=torch.channels_last)
        value = Value(tuple(tensor.shape), constant, last)
        self.kept.append(tensor)
        self.values[id(tensor)] = value
        return value

    def value_of(self, tensor: Tensor) -> Value:
        """Return the value of ``tensor``; one that no operator made is a constant."""
        return self.values.get(id(tensor)) or self.add(tensor, constant=True)

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator on shapes and record it, whole or by its parts."""
        given = dict(kwargs or {})
        op, in_place = func.overloadpacket.__name__, False
        if op.endswith("_"):
            op, in_place = op[:-1], True
        if op not in self.known:
            with self:
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        tensors = _by_name(func, args, given)
        arguments = {name: self._plain(argument) for name, argument in tensors.items()}
        made = result_of(op, tensors)
        if in_place:
            self._check_alone(args[0])
            made = args[0]
        result = func(*args, **given) if made is None else made
        parts = result if isinstance(result, (list, tuple)) else (result,)
        fixed = all(source.constant for source in Call(op, "", arguments, ()).sources())
        outputs = tuple(self._result(tensor, fixed=fixed) for tensor in parts)
        self.calls.append(Call(op, self.scopes[-1], arguments, outputs))
        return result

    def _check_alone(self, tensor: Tensor) -> None:
        """Refuse a change in place of what other views of the same memory show as well."""
        memory = _memory(tensor)
        aliases = {id(one) for one in self.kept if _memory(one) == memory}
        if len(aliases) > 1:
            raise NoRuleError

    def _result(self, tensor: object, *, fixed: bool) -> Value:
        if not isinstance(tensor, Tensor):
            raise NoRuleError
        sized = any(size % BATCH == 0 for size in tensor.shape)
        return self.add(tensor, constant=fixed and not sized)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.value_of(value)
        if isinstance(value, (list, tuple)):
            return [self._plain(part) for part in value]
        return value


def _memory(tensor: Tensor) -> int:
    """Return what tells one storage from another; on the meta device no address does."""
    return int(tensor.untyped_storage()._cdata)  # noqa: SLF001 - no public identity


def _by_name(func: OpOverload, args: tuple[Any, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return all arguments by the names of the operator's schema, defaults included."""
    found: dict[str, Any] = {}
    for place, argument in enumerate(func._schema.arguments):  # noqa: SLF001 - no public reader
        if place < len(args):
            found[argument.name] = args[place]
        else:
            found[argument.name] = given.get(argument.name, argument.default_value)
    return found
