"""What ``options``, ``models`` and ``datasets`` share: an option and a docstring as cells."""

from __future__ import annotations

import inspect
import re
import shutil
import sys
import types
import typing
from collections.abc import Callable
from typing import Any

from edgebench.registry import Option


def width() -> int | None:
    """Return the columns of the terminal; None where the output goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def type_of(option: Option) -> str:
    """Return the kind of value that an option takes: ``choice``, ``int``, ``float or none``."""
    if option.choices():
        return "choice"
    names = ["none" if one is type(None) else one.__name__ for one in _kinds(option.type)]
    return " or ".join("text" if name == "str" else name for name in dict.fromkeys(names))


def _kinds(of: Any) -> list[type]:
    """Return the classes of a type: the members of a union, without their metadata."""
    if hasattr(of, "__metadata__"):
        return _kinds(typing.get_args(of)[0])
    if isinstance(of, types.UnionType) or typing.get_origin(of) is typing.Union:
        return [one for part in typing.get_args(of) for one in _kinds(part)]
    found = typing.get_origin(of) or of
    return [found] if isinstance(found, type) else []


MUST = "must be given"


def default_of(option: Option) -> object:
    """Return an option's default, or `MUST`; None is a default too."""
    return MUST if option.default is inspect.Parameter.empty else option.default


def values_of(option: Option) -> str:
    """Return the values that an option allows, in words: its choices, or its bounds."""
    return ", ".join(map(str, option.choices())) or option.bounds


def about(factory: Callable[..., Any]) -> str:
    """Return the first line of a factory's docstring."""
    return (inspect.getdoc(factory) or "").partition("\n")[0].replace("`", "")


def about_option(factory: Callable[..., Any], name: str) -> str:
    """Return what the docstring of a factory says of one of its options, or "".

    That is its entry in the list of attributes or arguments, else the sentence that names it.
    """
    return _said_of(factory, name).replace("`", "")


def _said_of(factory: Callable[..., Any], name: str) -> str:
    classes = inspect.getmro(factory) if inspect.isclass(factory) else (factory,)
    texts = [inspect.getdoc(one) or "" for one in classes if one is not object]
    for text in texts:
        entry = re.search(rf"^    {name}: (.+(?:\n     .+)*)", text, re.MULTILINE)
        if entry:
            return _first_sentence(entry[1])
    for text in texts:
        for sentence in re.split(r"(?<=[.;])\s+", " ".join(text.split())):
            if f"``{name}``" in sentence:
                return _first_sentence(sentence.rstrip(";"))
    return ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=\.)\s", " ".join(text.split()))[0].rstrip(".")
