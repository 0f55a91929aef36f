"""Profile -> footprint: the one place where operators become bytes and operations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgebench.collector import paused
from edgebench.errors import CheckFailed
from edgebench.footprint.conventions import CONVENTIONS, Convention, Memory
from edgebench.footprint.fit import Fit
from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.latency import Latency, NoLatency, estimate
from edgebench.footprint.planning import Plan
from edgebench.metrics import figures
from edgebench.profiling import Profile

if TYPE_CHECKING:
    from edgebench.footprint.targets import Target


@dataclass(frozen=True)
class Layer:
    """One kernel's row: shapes as in ONNX, batch included."""

    name: str
    op: str
    input_shapes: tuple[tuple[int, ...], ...]
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    macc: int
    scratch_bytes: int
    weights_bytes: int
    live_bytes: int

    def as_dict(self) -> dict[str, Any]:
        """Return the row of the JSON object."""
        return {
            "name": self.name,
            "op": self.op,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "output_shape": list(self.output_shape),
            "parameters": self.parameters,
            "macs": self.macs,
            "macc": self.macc,
            "scratch_bytes": self.scratch_bytes,
        }

    def record(self) -> dict[str, Any]:
        """Return the row with the bytes alive while it runs, for a report to draw."""
        return self.as_dict() | {"live_bytes": self.live_bytes}


@dataclass(frozen=True)
class Footprint:
    """What a model costs on a device under one convention: ints of bytes and operations.

    ``plan`` has offsets and lifetimes (None where the convention only proves a bound); ``unknown``
    names the operators without a rule: with any, ``macc`` is a lower bound. The upper figures are
    what no network measured so far exceeds; None where the convention promises none. They decide
    whether a model fits. ``latency`` is None where no target was named, and a `NoLatency` with its
    reason where nothing honest is known of its speed.
    """

    dtype: str
    convention: str
    macs: int
    macc: int
    parameters: int
    weights_bytes: int
    code_bytes: int
    activations_bytes: int
    runtime_ram_bytes: int
    provenance: str
    layers: tuple[Layer, ...]
    plan: Plan | None
    unknown: tuple[str, ...] = ()
    exact: bool = True
    code_upper_bytes: int | None = None
    activations_upper_bytes: int | None = None
    runtime_ram_upper_bytes: int | None = None
    model: str = ""
    latency: Latency | NoLatency | None = None
    target: Fit | None = None

    @property
    def rom_bytes(self) -> int:
        """Return the flash: weights and code."""
        return self.weights_bytes + self.code_bytes

    @property
    def ram_bytes(self) -> int:
        """Return the memory: activations and the runtime's own objects."""
        return self.activations_bytes + self.runtime_ram_bytes

    @property
    def rom_upper_bytes(self) -> int | None:
        """Return the flash that is not exceeded, or None where nothing can be promised."""
        return _sum(self.weights_bytes, self.code_upper_bytes)

    @property
    def ram_upper_bytes(self) -> int | None:
        """Return the memory that is not exceeded, or None where nothing can be promised."""
        return _sum(self.activations_upper_bytes, self.runtime_ram_upper_bytes)

    @property
    def latency_ms(self) -> float | None:
        """Return the estimated time of an inference, or None where there is no estimate."""
        return self.latency.ms if isinstance(self.latency, Latency) else None

    @property
    def latency_upper_ms(self) -> float | None:
        """Return the time that nine of ten measured networks did not exceed, or None."""
        return self.latency.high_ms if isinstance(self.latency, Latency) else None

    @property
    def latency_interval_ms(self) -> tuple[float, float] | None:
        """Return between what the time lies for nine of ten measured networks, or None."""
        found = self.latency
        return (found.low_ms, found.high_ms) if isinstance(found, Latency) else None

    @property
    def latency_provenance(self) -> str | None:
        """Return what the time rests on, or why there is none; None where no target was named."""
        found = self.latency
        if isinstance(found, NoLatency):
            return f"no estimate: {found.reason}"
        return None if found is None else found.provenance

    def as_dict(self) -> dict[str, Any]:
        """Return the object of ``profile --format json``."""
        names = (
            "model", "dtype", "convention", "macs", "macc", "parameters", "weights_bytes",
            "code_bytes", "rom_bytes", "activations_bytes", "runtime_ram_bytes", "ram_bytes",
            "rom_upper_bytes", "ram_upper_bytes", "latency_ms",
            "latency_interval_ms", "latency_provenance", "provenance",
        )  # fmt: skip
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        found["layers"] = [layer.as_dict() for layer in self.layers]
        found["target"] = None if self.target is None else self.target.as_dict()
        return found

    def metrics(self, suffix: str = "") -> dict[str, float]:
        """Return the figures under the names they are recorded by; what is not known is absent."""
        recorded = {m.name: getattr(self, m.key) for m in figures("float32") if m.footprint}
        return {f"{name}{suffix}": value for name, value in recorded.items() if value is not None}


def _sum(*parts: int | None) -> int | None:
    known = [part for part in parts if part is not None]
    return sum(known) if len(known) == len(parts) else None


@paused()
def measure(
    profile: Profile,
    convention: str = "st",
    *,
    model: str | None = None,
    target: Target | None = None,
) -> Footprint:
    """Return the footprint of ``profile`` under a convention, by its name.

    Args:
        profile: The operators in order.
        convention: The name of the way to count.
        model: What the model is called; by default as its graph is.
        target: A board to compare the footprint with.

    Raises:
        EdgebenchError: No convention has that name.
    """
    rule = CONVENTIONS[convention]
    plan = rule.lower(profile)
    memory = rule.memory(plan)
    scratch = rule.scratch(plan)
    layers = tuple(
        _layer(plan, kernel, scratch.get(step, 0), _live(memory, step), rule)
        for step, kernel in enumerate(plan.kernels)
    )
    unknown = _without_rule(plan, rule)
    code, runtime = rule.code(plan), rule.runtime(plan)
    if profile.unknown:  # what an operator without a rule needs cannot be promised
        code, runtime = replace(code, upper=None), replace(runtime, upper=None)
        memory = replace(memory, upper=None)
    found = Footprint(
        dtype=profile.dtype,
        convention=convention,
        macs=profile.macs,
        macc=sum(layer.macc for layer in layers),
        parameters=plan.profile.parameters,
        weights_bytes=plan.profile.weights_bytes,
        code_bytes=code.figure,
        activations_bytes=memory.activations,
        runtime_ram_bytes=runtime.figure,
        provenance=_provenance(rule, profile, memory, unknown),
        layers=layers,
        plan=memory.plan,
        unknown=unknown,
        exact=memory.exact,
        code_upper_bytes=code.upper,
        activations_upper_bytes=memory.upper,
        runtime_ram_upper_bytes=runtime.upper,
        model=profile.name if model is None else model,
    )
    if target is None:
        return found
    latency = estimate(profile, target, convention)
    return replace(found, target=target.check(found), latency=latency)


def require_known(footprint: Footprint) -> None:
    """Raise CheckFailed (exit 1) where an operator has no rule."""
    if footprint.unknown:
        raise CheckFailed(
            *(f"no rule counts the operator {name}" for name in footprint.unknown),
            "the figures would be a lower bound; accept that with --allow-unknown",
        )


def _without_rule(plan: Schedule, rule: Convention) -> tuple[str, ...]:
    """Name the operators that the profile or the convention cannot count."""
    return tuple(
        f"{one.op} ({one.name})"
        for kernel in plan.kernels
        for one in kernel.operators
        if one.kind == "unknown" or rule.complexity.of(plan.profile, kernel, one) is None
    )


def _live(memory: Memory, step: int) -> int:
    return memory.plan.occupied(step) if memory.plan else 0


def _layer(plan: Schedule, kernel: Kernel, scratch: int, live: int, rule: Convention) -> Layer:
    profile = plan.profile
    made = {name for one in kernel.operators for name in one.outputs}
    inputs = [name for one in kernel.operators for name in one.inputs if name not in made]
    constants = [one for operator in kernel.operators for one in operator.constants]
    costs = [rule.complexity.of(profile, kernel, one) for one in kernel.operators]
    return Layer(
        name=kernel.name,
        op=kernel.op,
        input_shapes=tuple(profile.tensors[name].shape for name in inputs),
        output_shape=profile.tensors[kernel.output].shape,
        parameters=sum(one.elements for one in constants),
        macs=sum(one.macs for one in kernel.operators),
        macc=sum(cost for cost in costs if cost is not None),
        scratch_bytes=scratch,
        weights_bytes=sum(one.bytes for one in constants),
        live_bytes=live,
    )


def _provenance(
    rule: Convention, profile: Profile, memory: Memory, unknown: tuple[str, ...]
) -> str:
    parts = [f"estimated ({rule.name}: {rule.title})"]
    guessed = sorted({one.op for one in profile.operators if rule.complexity.assumed(one)})
    if guessed:
        parts.append(f"operations assumed for {', '.join(guessed)}")
    measured = [str(one) for one in rule.errors if one.dtype == profile.dtype]
    if measured:
        parts.append(f"errors: {'; '.join(measured)}")
    if not memory.exact:
        parts.append("a proven lower bound, not the optimum")
    if unknown:
        parts.append(f"lower bound: no rule for {', '.join(unknown)}")
    return "; ".join(parts)
