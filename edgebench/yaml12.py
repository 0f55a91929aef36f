"""YAML as people expect it: 1.2 scalars (``1e-3`` is a number, ``no`` is text), no double keys."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from edgebench.errors import EdgebenchError

_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)"
    r"|\.(?:nan|NaN|NAN))$"
)
_INTEGER = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_BOOLEAN = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2's core schema."""


_REPLACED = {f"tag:yaml.org,2002:{name}" for name in ("float", "int", "bool", "timestamp")}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# The first pattern that matches wins: 12 must be tried as an integer before it is a float.
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INTEGER, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOLEAN, list("tTfF"))


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            mark = node.value[index][0].start_mark
            raise yaml.MarkedYAMLError(problem=f"the key '{key}' stands twice", problem_mark=mark)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str, where: str) -> Any:
    """Parse one YAML document; ``where`` names it in messages.

    Raises:
        EdgebenchError: The text is no YAML, or a mapping has a key twice; with line and column.
    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise EdgebenchError(f"{where}{at}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise EdgebenchError(f"{where}: {error}") from None


def read(path: Path) -> Any:
    """Parse the file at ``path``.

    Raises:
        EdgebenchError: There is no such file, it is no text, or it is no YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EdgebenchError(f"there is no file '{path}'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise EdgebenchError(f"'{path}' cannot be read: {error}") from None
    return parse(text, str(path))


def assignments(settings: tuple[str, ...], option: str = "--set") -> dict[str, Any]:
    """Parse ``key=value`` texts; a value is YAML, so ``1e-3`` is a number and ``[1, 2]`` a list.

    Raises:
        EdgebenchError: A text without ``=`` or with an empty key.
    """
    mistakes = [s for s in settings if not s.partition("=")[0].strip() or "=" not in s]
    if mistakes:
        raise EdgebenchError(
            *(f"{option} {text}: write key=value, as in model.width=32" for text in mistakes)
        )
    pairs = (text.partition("=") for text in settings)
    return {key.strip(): parse(value, f"{option} {key}") for key, _, value in pairs}
