"""Names for factories and values; a factory's keyword-only signature is the schema of its options.

Nothing else describes an option: its name, type, bounds and default are read from the signature.
An option that names a member of another registry (``train.optimizer: sgd``) brings that member's
own options along (``train.momentum``), by the same rule and to any depth. So a model family, an
optimizer or a data set is defined in one place.

Packages that are installed beside edgebench may add members: a module named in the entry-point
group ``edgebench`` is imported before a registry is first read.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgebench.errors import EdgebenchError, nearest, shown, unknown

if TYPE_CHECKING:
    from pydantic import TypeAdapter

UNIONS = (typing.Union, types.UnionType)
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PLUGINS = "edgebench"
"""The entry-point group of modules that register members."""
_NONE: Mapping[str, Any] = MappingProxyType({})


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from a name to a factory or a value of one ``kind``.

    With ``package``, the modules of that package register the members; they are imported when the
    registry is first read, so that naming a registry costs nothing.
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._registered: dict[str, T] = {}

    def __repr__(self) -> str:
        """Name the kind, not the members: a registry stands in the type of an option."""
        return f"Registry({self.kind!r})"

    @property
    def _members(self) -> dict[str, T]:
        if self._package is not None:
            package, self._package = self._package, None
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                importlib.import_module(f"{package}.{module.name}")
        _load_plugins()
        return self._registered

    def add(self, name: str, member: T) -> T:
        """Register ``member`` under ``name``; a name is taken once."""
        if name in self._registered:
            raise ValueError(f"the {self.kind} '{name}' is registered twice")
        self._registered[name] = member
        if getattr(member, "__module__", "") == "__main__":
            _of_the_program.add(name)
        return member

    def register(self, factory: F) -> F:
        """Register a factory under its own name; usable as a decorator."""
        self.add(factory.__name__, typing.cast("T", factory))
        return factory

    def remove(self, name: str) -> None:
        """Forget a member, as a test does with the one that it added."""
        del self._registered[name]

    def choice(self, name: str, **options: Any) -> Choice[T]:
        """Return the member called ``name`` with its options; it is looked up when it is used."""
        return Choice(self, name, options)

    def __getitem__(self, name: str) -> T:
        """Return the member called ``name``; raises EdgebenchError with the nearest name."""
        if name not in self._members:
            raise EdgebenchError(unknown(self.kind, name, self._members))
        return self._members[name]

    def __contains__(self, name: object) -> bool:
        """Tell whether ``name`` is registered."""
        return isinstance(name, str) and name in self._members

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in order of registration."""
        return iter(self._members)

    def __len__(self) -> int:
        """Count the members."""
        return len(self._members)

    def __eq__(self, other: object) -> bool:
        """Only the same registry is equal: two of one kind are still two."""
        return self is other

    def __hash__(self) -> int:
        """Hash by identity, as equality goes by it."""
        return id(self)


_of_the_program: set[str] = set()


def program_has_members() -> bool:
    """Tell whether the program that is run registered members, so that workers must import it."""
    return bool(_of_the_program)


_plugins_loaded = False


def _load_plugins() -> None:
    """Import the modules that installed packages name in the entry-point group, once a process.

    Raises:
        EdgebenchError: One of them cannot be imported.
    """
    global _plugins_loaded  # noqa: PLW0603 - once a process is what it says
    if _plugins_loaded:
        return
    _plugins_loaded = True
    from importlib.metadata import entry_points

    for entry in entry_points(group=PLUGINS):
        try:
            entry.load()
        except ImportError as error:
            package = entry.dist.name if entry.dist else entry.name
            raise EdgebenchError(
                f"the package '{package}' adds to edgebench by its module '{entry.value}', which "
                f"cannot be imported: {error}"
            ) from error


@dataclass(frozen=True)
class Choice(Generic[T]):
    """A member of a registry by its name, with the options that it is to be called with.

    The value of an option that names a member: ``norm: Annotated[Choice[...], NORMS]``.
    """

    registry: Registry[T]
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def member(self) -> T:
        """The member itself; raises EdgebenchError where there is none of that name."""
        return self.registry[self.name]

    def __call__(self, *arguments: Any) -> Any:
        """Call the member, a factory, with ``arguments`` and the chosen options."""
        return typing.cast("Callable[..., Any]", self.member)(*arguments, **self.options)

    def __hash__(self) -> int:
        """Hash by name: a default in a signature must be hashable."""
        return hash(self.name)

    def __str__(self) -> str:
        """Return the name, as a sweep file writes it."""
        return self.name


@dataclass(frozen=True)
class Original:
    """The default that an option was introduced with, where it has another one today.

    Stands in the option's ``Annotated`` type. A candidate's identity leaves out what equals the
    original default, so that neither a new option nor a changed default changes a recorded key.
    """

    value: object


@dataclass(frozen=True)
class Option:
    """One keyword-only parameter of a factory: its name, type (with bounds) and default.

    ``default`` is the name where the option chooses a member of ``registry``, and
    ``inspect.Parameter.empty`` where the option must be given.
    """

    name: str
    type: Any
    default: Any

    @property
    def registry(self) -> Registry[Any] | None:
        """The registry whose members the option chooses from, or None."""
        return next((one for one in self.type_metadata if isinstance(one, Registry)), None)

    @property
    def original(self) -> Any:
        """The default that the option was introduced with."""
        marks = [one.value for one in self.type_metadata if isinstance(one, Original)]
        return marks[0] if marks else self.default

    @property
    def bounds(self) -> str:
        """The limits of a number as text, as in ``>= 1, < 8``; "" where there are none."""
        signs = {"Ge": ">=", "Gt": ">", "Le": "<=", "Lt": "<"}
        found = [
            f"{signs[kind]} {getattr(one, kind.lower())}"
            for one in self.type_metadata
            if (kind := type(one).__name__) in signs
        ]
        return ", ".join(found)

    @property
    def type_metadata(self) -> tuple[Any, ...]:
        """What stands beside the type in ``Annotated``: bounds, a registry, marks."""
        return getattr(self.type, "__metadata__", ())

    def mistake(self, value: object) -> str | None:
        """Return the rule that ``value`` breaks, with the nearest valid choice, or None."""
        registry = self.registry
        if registry is not None:
            known = value in registry if isinstance(value, str) else False
            return None if known else unknown(registry.kind, str(value), registry)
        from pydantic import ValidationError

        try:
            _validator(self.type).validate_python(value)
        except ValidationError as error:
            first = error.errors()[0]
            rule = first["msg"].replace("Input should be", "should be", 1)
            bounds = first.get("ctx", {})
            limit = next((bounds[key] for key in ("ge", "le") if key in bounds), None)
            if limit is None and isinstance(value, str):
                limit = nearest(value, [c for c in self.choices() if isinstance(c, str)])
            hint = "" if limit is None else f"; the nearest valid value is {limit!r}"
            return f"{shown(value)} {rule}{hint}"
        except (OverflowError, RecursionError):  # what pydantic lets through
            return f"{shown(value)} is out of bounds"
        return None

    def choices(self) -> tuple[object, ...]:
        """Return the values that the type allows: names, literals; () where it is open."""
        if self.registry is not None:
            return tuple(self.registry)
        bare = typing.get_args(self.type)[0] if self.type_metadata else self.type
        parts = typing.get_args(bare) if typing.get_origin(bare) in UNIONS else (bare,)
        literals = [one for one in parts if typing.get_origin(one) is typing.Literal]
        return tuple(value for one in literals for value in typing.get_args(one))


@functools.lru_cache(maxsize=512)
def _validator(kind: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter

    return TypeAdapter(kind, config=ConfigDict(strict=True, allow_inf_nan=False))


def options(factory: Callable[..., Any]) -> dict[str, Option]:
    """Return the keyword-only parameters of ``factory`` (a function or a dataclass), in order."""
    return dict(_signature(factory))


@functools.cache
def _signature(factory: Callable[..., Any]) -> dict[str, Option]:
    hints = typing.get_type_hints(factory, include_extras=True)
    return {
        name: Option(name, hints[name], _plain(parameter.default))
        for name, parameter in inspect.signature(factory).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def _plain(default: Any) -> Any:
    return default.name if isinstance(default, Choice) else default


def active_options(factory: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Option]:
    """Return the options of ``factory`` and, to any depth, of the members that ``given`` chooses.

    What ``given`` leaves out is chosen by default; a name that is no member brings no options.

    Raises:
        ValueError: A member has an option of a name that is taken: a mistake of its author.
    """
    found = options(factory)
    waiting = list(found.values())
    while waiting:
        option = waiting.pop(0)
        member = _chosen(option, given)
        if member is None:
            continue
        more = options(member)
        taken = sorted(more.keys() & found.keys())
        if taken:
            raise ValueError(f"the option '{taken[0]}' of '{_name(option, given)}' is taken")
        found |= more
        waiting += more.values()
    return found


def _name(option: Option, given: Mapping[str, Any]) -> Any:
    return given.get(option.name, option.default)


def _chosen(option: Option, given: Mapping[str, Any]) -> Callable[..., Any] | None:
    """Return the factory that ``given`` chooses for an option, or None where it chooses none."""
    registry, name = option.registry, _name(option, given)
    if registry is None or not isinstance(name, str) or name not in registry:
        return None
    member = registry[name]
    return member if callable(member) else None


def bind(factory: Callable[..., Any], given: Mapping[str, Any] = _NONE) -> dict[str, Any]:
    """Return the keyword arguments that call ``factory`` with the flat options ``given``.

    An option that names a member becomes a `Choice` that holds the member's own options.

    Raises:
        EdgebenchError: An unknown option or a value against its type; all mistakes at once.
    """
    known = active_options(factory, given)
    mistakes = [unknown("option", name, known) for name in given if name not in known]
    for name, value in given.items():
        mistake = known[name].mistake(value) if name in known else None
        mistakes += [f"{name}: {mistake}"] if mistake else []
    mistakes += [
        f"{name}: is missing" for name, option in known.items()
        if option.default is inspect.Parameter.empty and name not in given
    ]  # fmt: skip
    if mistakes:
        raise EdgebenchError(*mistakes)
    return _arguments(factory, given)


def _arguments(factory: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, option in options(factory).items():
        member = _chosen(option, given)
        if option.registry is not None:
            chosen = {} if member is None else _arguments(member, given)
            found[name] = Choice(option.registry, str(_name(option, given)), chosen)
        elif name in given:
            found[name] = given[name]
    return found


def resolved(factory: Callable[..., Any], given: Mapping[str, Any] = _NONE) -> dict[str, Any]:
    """Return every active option with its value, given or default, flat and in order."""
    return {name: _name(option, given) for name, option in active_options(factory, given).items()}
