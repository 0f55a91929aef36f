"""Names for factories and values; a factory's keyword-only signature is the schema of its options.

Nothing else describes an option: its name, type, bounds and default are read from the
signature, so a new model family or data set is defined in one place.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from edgebench.errors import EdgebenchError, nearest, unknown

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from a name to a factory or a value of one ``kind``.

    With ``package``, the modules of that package register the members; they are imported when the
    registry is first read, so that naming a registry costs nothing.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._registered: dict[str, T] = {}

    @property
    def _members(self) -> dict[str, T]:
        if self._package is not None:
            package, self._package = self._package, None
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        return self._registered

    def add(self, name: str, member: T) -> T:
        """Register ``member`` under ``name``; a name is taken once."""
        if name in self._registered:
            raise ValueError(f"the {self.kind} '{name}' is registered twice")
        self._registered[name] = member
        return member

    def register(self, factory: F) -> F:
        """Register a factory under its own name; usable as a decorator."""
        self.add(factory.__name__, typing.cast("T", factory))
        return factory

    def __getitem__(self, name: str) -> T:
        """Return the member called ``name``; raises EdgebenchError with the nearest name."""
        if name not in self._members:
            raise EdgebenchError(unknown(self.kind, name, self._members))
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether ``name`` is registered."""
        return name in self._members

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in order of registration."""
        return iter(self._members)

    def __len__(self) -> int:
        """Count the members."""
        return len(self._members)


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a factory: its name, type (with bounds) and default."""

    name: str
    type: Any
    default: Any

    def mistake(self, value: object) -> str | None:
        """Return the rule that ``value`` breaks, with the nearest valid choice, or None."""
        from pydantic import ConfigDict, TypeAdapter, ValidationError

        strict = ConfigDict(strict=True, allow_inf_nan=False)
        try:
            TypeAdapter(self.type, config=strict).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            rule = first["msg"].replace("Input should be", "should be", 1)
            bounds = first.get("ctx", {})
            limit = next((bounds[key] for key in ("ge", "le") if key in bounds), None)
            if limit is None and isinstance(value, str):
                limit = nearest(value, [c for c in self.choices() if isinstance(c, str)])
            hint = "" if limit is None else f"; the nearest valid value is {limit!r}"
            return f"{value!r} {rule}{hint}"
        return None

    def choices(self) -> tuple[object, ...]:
        """Return the literal values the type allows, or () where it is open."""
        bare = typing.get_args(self.type)[0] if hasattr(self.type, "__metadata__") else self.type
        return typing.get_args(bare) if typing.get_origin(bare) is typing.Literal else ()


def options(factory: Callable[..., Any]) -> dict[str, Option]:
    """Return the keyword-only parameters of ``factory`` (a function or a dataclass), in order."""
    hints = typing.get_type_hints(factory, include_extras=True)
    return {
        name: Option(name, hints[name], parameter.default)
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
