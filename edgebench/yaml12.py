"""YAML 1.2 as plain data: ``1e-3`` is a number, ``no`` is text, and no file can hurt its reader.

ruamel.yaml parses; of its node tree only what JSON could hold is taken, with the scalars of the
core schema (YAML 1.2, section 10.3.2), so no tag can make an object. What would take long or much
memory is refused before it does.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.tag import Tag

from edgebench.errors import EdgebenchError

LONGEST = 300_000  # characters of a file; a long sweep has 10,000
DEEPEST = 50  # levels of nesting
MOST = 100_000  # values, those that aliases repeat included
DIGITS = 100  # of an integer
_TAG = "tag:yaml.org,2002:"


def _float(text: str) -> float:
    return float(text.replace(".inf", "inf").replace(".nan", "nan"))


def _integer(text: str) -> int:
    return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)


_NUMBER = r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
# The first pattern that matches wins: 12 must be tried as an integer before it is a float.
_SCALARS: tuple[tuple[str, str, Callable[[str], Any]], ...] = (
    ("null", r"~|null|Null|NULL|", lambda _: None),
    ("bool", r"true|True|TRUE|false|False|FALSE", lambda text: text.lower() == "true"),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", _integer),
    ("float", rf"{_NUMBER}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", lambda t: _float(t.lower())),
)
_PATTERNS = {name: re.compile(pattern) for name, pattern, _ in _SCALARS}
_READERS = {name: reader for name, _, reader in _SCALARS}
_PLAIN = re.compile(r"[-+.]?[A-Za-z0-9][A-Za-z0-9_.+-]*")  # no character that means something


class _CoreSchema(VersionedResolver):
    """Names the type of a plain scalar; the merge key is the one thing of YAML 1.1 that is kept."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        """Return the tag of a node that has none of its own."""
        if kind is ScalarNode and implicit[0]:
            name = "merge" if value == "<<" else _type_of(value) or "str"
            return Tag(suffix=f"{_TAG}{name}")
        return super().resolve(kind, value, implicit)


def _type_of(text: str) -> str | None:
    return next((name for name, found in _PATTERNS.items() if found.fullmatch(text)), None)


def scalar(text: str) -> Any:
    """Return what a plain scalar means: a number, true or false, nothing, or the text itself."""
    name = _type_of(text)
    return text if name is None or len(text) > DIGITS else _READERS[name](text)


def parse(text: str, where: str) -> Any:
    """Parse one YAML document; ``where`` names it in messages.

    Raises:
        EdgebenchError: The text is no YAML, a mapping has a key twice, or it is larger or deeper
            than any file of ours; with line and column.
    """
    if _PLAIN.fullmatch(text) and len(text) <= DIGITS:
        return scalar(text)
    if len(text) > LONGEST:
        raise EdgebenchError(f"{where}: is longer than {LONGEST:,} characters")
    yaml = YAML(typ="safe", pure=True)
    yaml.Resolver = _CoreSchema
    yaml.max_depth = DEEPEST
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of anchors that stand twice: the last one counts
            root = yaml.compose(text)
        return None if root is None else _Plain().data(root)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise EdgebenchError(f"{where}{at}: {said.partition(', if necessary')[0]}") from None
    except ReaderError as error:
        before = text[: error.position]
        line, column = before.count("\n") + 1, error.position - before.rfind("\n")
        raise EdgebenchError(
            f"{where}, line {line}, column {column}: the character U+{error.character:04X} is not "
            "allowed in YAML"
        ) from None
    except YAMLError as error:
        raise EdgebenchError(f"{where}: {error}") from None
    except ValueError:  # what ruamel.yaml lets through
        raise EdgebenchError(f"{where}: an escape names no character, as '\\U00110000'") from None


@dataclass
class _Plain:
    """Turns a node tree into dicts, lists and scalars, counting what it makes."""

    made: int = 0

    def data(self, node: Node, depth: int = 1) -> Any:
        """Return the value of a node.

        Raises:
            MarkedYAMLError: A tag or value that YAML's core schema does not have, a key twice, or
                too much.
        """
        self.made += 1
        if self.made > MOST:
            raise _mistake(node, f"there are more than {MOST:,} values, aliases included")
        if depth > DEEPEST:
            raise _mistake(node, f"it is nested deeper than {DEEPEST} levels")
        kind = str(node.tag).removeprefix(_TAG)
        if isinstance(node, ScalarNode):
            return _value(node, kind)
        if isinstance(node, SequenceNode) and kind == "seq":
            return [self.data(one, depth + 1) for one in node.value]
        if isinstance(node, MappingNode) and kind == "map":
            return self.mapping(node, depth)
        raise _mistake(node, f"the tag '{node.tag}' is not read")

    def mapping(self, node: MappingNode, depth: int) -> dict[Any, Any]:
        """Return a mapping; what ``<<`` merges into it does not replace its own keys."""
        own: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            value = self.data(value_node, depth + 1)
            if str(key_node.tag) == f"{_TAG}merge":
                for more in value if isinstance(value, list) else [value]:
                    if not isinstance(more, dict):
                        raise _mistake(value_node, "'<<' merges mappings only")
                    merged = more | merged
                continue
            key = self.data(key_node, depth + 1)
            if isinstance(key, list | dict):
                raise _mistake(key_node, "a list or mapping cannot be a key")
            if key in own:
                raise _mistake(key_node, f"the key '{_short(str(key))}' stands twice")
            own[key] = value
        return merged | own


def _value(node: ScalarNode, kind: str) -> Any:
    text = str(node.value)
    if kind in {"str", "merge"}:
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _mistake(node, "half a surrogate pair is no character")
        return text
    if kind not in _READERS:
        raise _mistake(node, f"the tag '{node.tag}' is not read")
    if kind == "int" and len(text) > DIGITS:
        raise _mistake(node, f"the integer {_short(text)} has more than {DIGITS} digits")
    if not _PATTERNS[kind].fullmatch(text) and not (kind == "float" and _type_of(text) == "int"):
        raise _mistake(node, f"'{_short(text)}' is no {kind}")
    return _READERS[kind](text)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 20 else f"{line[:20]}…"


def _mistake(node: Node, problem: str) -> MarkedYAMLError:
    return MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def read(path: Path) -> Any:
    """Parse the file at ``path``.

    Raises:
        EdgebenchError: There is no such file, it is no text, too long, or no YAML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(4 * LONGEST + 1)  # UTF-8 has at most four bytes a character
        text = content.decode("utf-8-sig")
    except FileNotFoundError:
        raise EdgebenchError(f"there is no file '{path}'") from None
    except UnicodeDecodeError as error:
        raise EdgebenchError(
            f"'{path}' cannot be read: it is not UTF-8 text (byte {error.start + 1})"
        ) from None
    except OSError as error:
        raise EdgebenchError(f"'{path}' cannot be read: {error.strerror}") from None
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
