"""The axes of a sweep file: each checked against the signature that it sets an option of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from edgebench.errors import LONGEST_SHOWN, NAMED, more, nearest, quoted, shown, unknown
from edgebench.models import MODELS
from edgebench.record import Scalar
from edgebench.registry import options
from edgebench.space.axis import Around, Axis
from edgebench.space.schema import FAMILY, SECTIONS, axis_names, having, places, selections

Distribution = Literal[
    "constant",
    "categorical",
    "int_uniform",
    "int_log_uniform_values",
    "uniform",
    "q_uniform",
    "log_uniform_values",
]


@dataclass(frozen=True, kw_only=True)
class _AxisForm:
    """The keys of an axis; the signature is their schema."""

    value: Any = None
    values: list[Any] | None = None
    min: float | None = None
    max: float | None = None
    q: float | None = None
    distribution: Distribution | None = None
    around: dict[str, Any] | None = None
    when: dict[str, Any] | None = None


def read_axes(content: Any, mistakes: list[str]) -> tuple[Axis, ...]:
    """Read the ``parameters`` of a sweep, each axis after those it depends on.

    What is wrong is added to ``mistakes``, one message each, with its path.
    """
    if not isinstance(content, dict):
        mistakes.append("parameters: write a mapping, as in {model.family: {values: [vgg, gap]}}")
        return ()
    strange = [str(name) for name in content if not _exists(str(name))]
    left_out = set(strange[NAMED:])
    found = {
        str(name): _axis(str(name), form, mistakes)
        for name, form in content.items()
        if str(name) not in left_out
    }
    axes = {name: axis for name, axis in found.items() if axis}
    if FAMILY not in found:
        mistakes.append(f"parameters: '{FAMILY}' is missing; known: {', '.join(MODELS)}")
    for axis in axes.values():
        mistakes += _when_mistakes(axis, axes)
        mistakes += _option_mistakes(axis, axes)
    mistakes += more(len(strange), "parameters: unknown axes")
    return _ordered(axes, mistakes)


def _exists(name: str) -> bool:
    section, _, option = name.partition(".")
    return section in SECTIONS and option in places(section)


def _axis(name: str, form: Any, mistakes: list[str]) -> Axis | None:
    """Read one axis; a bare scalar is a constant."""
    path = f"parameters.{name}"
    if not isinstance(form, dict):
        form = {"value": form}
    known = options(_AxisForm)
    own = unknown_keys(form, tuple(known), path)
    if str(form.get("distribution")) in {"log_uniform", "q_log_uniform"}:
        own.append(
            f"{path}.distribution: '{form['distribution']}' takes exponents; write the real bounds "
            "with 'log_uniform_values'"
        )
    else:
        given = {key: form[key] for key in known if key in form}
        for key, value in given.items():
            mistake = known[key].mistake(value)
            own += [f"{path}.{key}: {mistake}"] if mistake else []
    if not own:
        own += _shape_mistakes(form, path) + _when_shape(form.get("when"), path)
    mistakes += own
    return None if own else _read_axis(name, form)


def _shape_mistakes(form: Mapping[str, Any], path: str) -> list[str]:
    """An axis is one value, several, or a range from min to max."""
    shapes = ["value" in form, "values" in form, "min" in form or "max" in form]
    if sum(shapes) != 1:
        return [f"{path}: give exactly one of value, values, or min with max"]
    if shapes[2]:
        return _range_mistakes(form, path)
    if form.get("around") is not None:
        return [f"{path}.around: narrows a range; give min and max"]
    values = form["values"] if "values" in form else [form["value"]]
    if not values:
        return [f"{path}.values: is empty"]
    odd = [value for value in values if not isinstance(value, Scalar)]
    if odd:
        return [f"{path}: {shown(odd[0])} should be a number, a text, true or false"]
    wide = [value for value in values if isinstance(value, int) and abs(value) >= 2**63]
    return [f"{path}: {shown(wide[0])} has more than 64 bits"] if wide else []


def _when_shape(when: Any, path: str) -> list[str]:
    """A condition names values of other axes, one or a list each."""
    odd = [
        name
        for name, allowed in (when or {}).items()
        for value in (allowed if isinstance(allowed, list) else [allowed])
        if not isinstance(value, Scalar)
    ]
    return [
        f"{path}.when.{name:.60}: should be a number, a text, true or false, or a list of them"
        for name in dict.fromkeys(odd[:NAMED])
    ]


def _range_mistakes(form: Mapping[str, Any], path: str) -> list[str]:
    low, high, step = form.get("min"), form.get("max"), form.get("q")
    step = 1 if step is None else step
    if low is None or high is None or low >= high:
        return [f"{path}: min and max should both stand, with min < max"]
    if max(abs(low), abs(high), abs(step)) >= 2**63:
        return [f"{path}: min, max and q should be below 2^63"]
    mistakes = []
    if "log" in (form.get("distribution") or ""):
        if low <= 0:
            mistakes.append(f"{path}.min: {shown(low)} should be above 0 for a logarithmic axis")
        if "q" in form:
            mistakes.append(f"{path}.q: a logarithmic axis takes no step")
    mistakes += _around_mistakes(form.get("around"), f"{path}.around")
    if step <= 0:
        mistakes.append(f"{path}.q: {shown(step)} should be above 0")
    if _integral(form) and not all(float(number).is_integer() for number in (low, high, step)):
        mistakes.append(f"{path}: an integer axis has integers as min, max and q")
    return mistakes


def _around_mistakes(around: Any, path: str) -> list[str]:
    """Around another study's best value: which study, and by which factor."""
    if around is None:
        return []
    found = unknown_keys(around, ("study", "factor"), path)
    study, factor = around.get("study"), around.get("factor")
    if not isinstance(study, str):
        found.append(f"{path}.study: {shown(study)} should be the name of a study")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or factor <= 1:
        found.append(f"{path}.factor: {shown(factor)} should be a number above 1")
    return found


def _integral(form: Mapping[str, Any]) -> bool:
    """W&B's rule: integer bounds make an integer axis, unless the distribution says otherwise."""
    asked = form.get("distribution")
    if asked:
        return str(asked).startswith("int")
    return all(isinstance(form.get(key, 1), int) for key in ("min", "max", "q"))


def _read_axis(name: str, form: Mapping[str, Any]) -> Axis:
    when = {
        other: tuple(allowed) if isinstance(allowed, list) else (allowed,)
        for other, allowed in (form.get("when") or {}).items()
    }
    if "value" in form or "values" in form:
        values = form["values"] if "values" in form else [form["value"]]
        return Axis(name, values=tuple(dict.fromkeys(values)), when=when)
    return Axis(
        name,
        low=form["min"],
        high=form["max"],
        step=form.get("q"),
        log="log" in (form.get("distribution") or ""),
        integer=_integral(form),
        when=when,
        around=Around(**form["around"]) if form.get("around") else None,
    )


def _when_mistakes(axis: Axis, axes: Mapping[str, Axis]) -> list[str]:
    mistakes = []
    for other, allowed in axis.when.items():
        path = f"parameters.{axis.name}.when.{other}"
        if other not in axes or other == axis.name:
            known = [name for name in axes if name != axis.name]
            mistakes.append(f"{path}: {unknown('axis', other, known)}")
            continue
        choices = axes[other].choices() or ()
        mistakes += [
            f"{path}: {no_choice(value, choices)}" for value in allowed if value not in choices
        ]
    return mistakes


def no_choice(value: Scalar, choices: Iterable[Scalar]) -> str:
    """Say that a value is none of an axis, with the nearest or all that are."""
    known = [str(choice) for choice in choices]
    close = nearest(str(value), known) if len(str(value)) <= LONGEST_SHOWN else None
    hint = f"did you mean '{close}'?" if close else f"its values: {', '.join(known[:NAMED])}"
    hint += ", …" if not close and len(known) > NAMED else ""
    return f"{quoted(value)} is no value of that axis; {hint}"


def _option_mistakes(axis: Axis, axes: Mapping[str, Axis]) -> list[str]:
    """Check an axis against the signatures of all that it can reach."""
    path = f"parameters.{axis.name}"
    section, _, option = axis.name.partition(".")
    if section not in SECTIONS:
        return [f"{path}: {unknown('axis', axis.name, axis_names())}"]
    if option not in places(section):
        return [f"{path}: {unknown(f'option of {section}', option, _reachable(section, axes))}"]

    def possible(selector: str) -> tuple[Scalar, ...] | None:
        values = axis.when.get(selector)
        if values is None and selector in axes:
            values = axes[selector].choices() or ()
        registry = places(section)[selector.partition(".")[2]][0].option.registry
        return None if values is None else tuple(v for v in values if v in (registry or ()))

    owners, lacking = [], []
    for chosen in selections(section, option, possible):
        known = having(section, chosen)
        if option in known:
            owners.append(known[option])
        else:
            lacking.append(chosen)
    if lacking:
        several = _lacking_mistakes if owners else _not_reached
        return several(axis, axes, lacking)
    # Members may bound the same option differently: a value must suit all that it reaches.
    tried = axis.values or (_number(axis, axis.low), _number(axis, axis.high))
    found = [f"{path}: {rule}" for one in owners for value in tried if (rule := one.mistake(value))]
    different = list(dict.fromkeys(found))
    return [*different[:NAMED], *more(len(different), f"{path}: values")]


def _reachable(section: str, axes: Mapping[str, Axis]) -> list[str]:
    """Return the options that the chosen members of a section have, to name the nearest of."""
    found: dict[str, None] = {}
    for option in places(section):
        chosen = selections(
            section, option, lambda name: axes[name].choices() if name in axes else None
        )
        if any(option in having(section, one) for one in chosen):
            found[option] = None
    return list(found)


def _not_reached(
    axis: Axis,
    axes: Mapping[str, Axis],
    lacking: Sequence[Mapping[str, Scalar]],  # noqa: ARG001 - one signature
) -> list[str]:
    """No chosen member has the option; say which axis would choose one that has."""
    section, _, option = axis.name.partition(".")
    path = f"parameters.{axis.name}"
    by_selector = _owners(section, option)
    selector = next(iter(by_selector))
    if selector in axes or selector == FAMILY:
        if FAMILY not in axes:
            return []  # that mistake has its own message
        owning = ", ".join(map(str, by_selector[selector]))
        return [f"{path}: no chosen {selector} has the option '{option}'; these have: {owning}"]
    default = options(SECTIONS[section])[selector.partition(".")[2]].default
    owning = _listed(by_selector[selector])
    return [f"{path}: {default} has no option '{option}'; choose {selector}: {owning}"]


def _lacking_mistakes(
    axis: Axis, axes: Mapping[str, Axis], lacking: Sequence[Mapping[str, Scalar]]
) -> list[str]:
    """Some of the members that may be chosen have no such option: ask for the condition."""
    section, _, option = axis.name.partition(".")
    for selector, owning in _owners(section, option).items():
        short = selector.partition(".")[2]
        without = dict.fromkeys(str(one[short]) for one in lacking if one.get(short) not in owning)
        if selector in axes and without:
            choices = [str(value) for value in axes[selector].choices() or ()]
            only = _listed([name for name in choices if name in owning] or list(owning))
            lack = f"{', '.join(without)} has no option '{option}'"
            return [f"parameters.{axis.name}: {lack}; add when: {{{selector}: {only}}}"]
    return [f"parameters.{axis.name}: not every combination has the option '{option}'; add when"]


def _owners(section: str, option: str) -> dict[str, list[str]]:
    """Return the members that bring an option, by the axis that chooses them, innermost first."""
    found: dict[str, list[str]] = {}
    for place in places(section)[option]:
        for selector, member in reversed(place.members):
            names = found.setdefault(selector, [])
            names += [] if member in names else [member]
    return found


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else "[" + ", ".join(names) + "]"


def _number(axis: Axis, bound: float) -> Scalar:
    return int(bound) if axis.integer else float(bound)


def _ordered(axes: Mapping[str, Axis], mistakes: list[str]) -> tuple[Axis, ...]:
    """Put the axes that others depend on first, otherwise keep the file's order."""
    placed: dict[str, Axis] = {}
    waiting = dict(axes)
    while waiting:
        ready = [n for n, axis in waiting.items() if all(o not in waiting for o in axis.when)]
        if not ready:
            mistakes.append(f"parameters: {', '.join(waiting)} depend on each other by 'when'")
            break
        placed[ready[0]] = waiting.pop(ready[0])
    return tuple(placed.values())


def unknown_keys(given: Mapping[Any, Any], known: Sequence[str], path: str) -> list[str]:
    """Return a message for each key of ``given`` that is not among ``known``."""
    strange = [key for key in given if key not in known]
    named = [f"{path}.{key!s:.60}: {unknown('key', str(key), known)}" for key in strange[:NAMED]]
    return [*named, *more(len(strange), f"{path}: unknown keys")]
