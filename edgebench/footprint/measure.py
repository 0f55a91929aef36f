"""Profile -> footprint: the one place where operators become bytes and operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgebench.errors import CheckFailed
from edgebench.footprint import st
from edgebench.footprint.conventions import CONVENTIONS, Convention, Memory
from edgebench.footprint.kernels import Kernel, Schedule
from edgebench.footprint.planning import Plan
from edgebench.metrics import figures
from edgebench.profiling import Profile


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
    names the operators without a rule: with any, ``macc`` is a lower bound.
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

    @property
    def rom_bytes(self) -> int:
        """Return the flash: weights and code."""
        return self.weights_bytes + self.code_bytes

    @property
    def ram_bytes(self) -> int:
        """Return the memory: activations and the runtime's own objects."""
        return self.activations_bytes + self.runtime_ram_bytes

    def as_dict(self) -> dict[str, Any]:
        """Return the fields of ``profile --format json``, less the model and the target."""
        names = (
            "dtype", "convention", "macs", "macc", "parameters", "weights_bytes", "code_bytes",
            "rom_bytes", "activations_bytes", "runtime_ram_bytes", "ram_bytes", "provenance",
        )  # fmt: skip
        found: dict[str, Any] = {name: getattr(self, name) for name in names}
        return found | {"layers": [layer.as_dict() for layer in self.layers]}

    def metrics(self, suffix: str = "") -> dict[str, int]:
        """Return the figures under the names they are recorded by."""
        recorded = [metric for metric in figures("float32") if metric.footprint]
        return {f"{metric.name}{suffix}": getattr(self, metric.key) for metric in recorded}


def measure(profile: Profile, convention: str = "st") -> Footprint:
    """Return the footprint of ``profile`` under a convention, by its name.

    Raises:
        EdgebenchError: No convention has that name.
    """
    rule = CONVENTIONS[convention]
    plan = rule.lower(profile)
    memory = rule.memory(plan)
    scratch = rule.scratch(plan)
    layers = tuple(
        _layer(plan, kernel, step, scratch.get(step, 0), memory)
        for step, kernel in enumerate(plan.kernels)
    )
    unknown = tuple(
        f"{one.op} ({one.name})"
        for one in profile.operators
        if one.kind == "unknown" or st.macc(profile, one) is None
    )
    return Footprint(
        dtype=profile.dtype,
        convention=convention,
        macs=profile.macs,
        macc=sum(layer.macc for layer in layers),
        parameters=profile.parameters,
        weights_bytes=profile.weights_bytes,
        code_bytes=rule.code(plan),
        activations_bytes=memory.activations,
        runtime_ram_bytes=rule.runtime(plan),
        provenance=_provenance(rule, profile, memory, unknown),
        layers=layers,
        plan=memory.plan,
        unknown=unknown,
        exact=memory.exact,
    )


def require_known(footprint: Footprint) -> None:
    """Raise EdgebenchError (exit 1) where an operator has no rule."""
    if footprint.unknown:
        raise CheckFailed(
            *(f"no rule counts the operator {name}" for name in footprint.unknown),
            "the figures would be a lower bound; accept that with --allow-unknown",
        )


def _layer(plan: Schedule, kernel: Kernel, step: int, scratch: int, memory: Memory) -> Layer:
    profile = plan.profile
    made = {name for one in kernel.operators for name in one.outputs}
    inputs = [name for one in kernel.operators for name in one.inputs if name not in made]
    constants = [one for operator in kernel.operators for one in operator.constants]
    live = memory.plan.occupied(step) if memory.plan else 0
    return Layer(
        name=kernel.name,
        op=kernel.op,
        input_shapes=tuple(profile.tensors[name].shape for name in inputs),
        output_shape=profile.tensors[kernel.output].shape,
        parameters=sum(one.elements for one in constants),
        macs=sum(one.macs for one in kernel.operators),
        macc=st.kernel_macc(profile, kernel) or 0,
        scratch_bytes=scratch,
        weights_bytes=sum(one.bytes for one in constants),
        live_bytes=live,
    )


def _provenance(
    rule: Convention, profile: Profile, memory: Memory, unknown: tuple[str, ...]
) -> str:
    parts = [f"estimated ({rule.name}: {rule.title})"]
    guessed = sorted({one.op for one in profile.operators if st.assumed(one)})
    if guessed:
        parts.append(f"operations assumed for {', '.join(guessed)}")
    if not memory.exact:
        parts.append("a proven lower bound, not the optimum")
    if unknown:
        parts.append(f"lower bound: no rule for {', '.join(unknown)}")
    return "; ".join(parts)
