"""YAML 1.2 scalars, where 1.1 surprises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebench import yaml12
from edgebench.errors import EdgebenchError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e5", 100000.0),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("0x1F", 31),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("[1, 1e-2, relu]", [1, 0.01, "relu"]),
    ],
)
def test_scalars_are_those_of_version_1_2(text: str, value: object) -> None:
    """What the core schema of YAML 1.2 says (section 10.3.2), type included."""
    parsed = yaml12.parse(text, "text")
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_survives(number: float) -> None:
    """What Python prints as a float is read as the same float."""
    assert yaml12.parse(repr(number), "text") == number


def test_a_key_that_stands_twice_is_refused() -> None:
    """The second would silently win; line and column are told."""
    with pytest.raises(EdgebenchError, match=r"^f, line 2, column 1: the key 'a' stands twice$"):
        yaml12.parse("a: 1\na: 2", "f")


def test_a_file_that_is_no_yaml_is_located() -> None:
    """The message has the file, the line and the column."""
    with pytest.raises(EdgebenchError, match=r"^f, line 2, column 1: "):
        yaml12.parse("a: [1,\n", "f")


def test_a_missing_or_binary_file_is_the_users_mistake(tmp_path: Path) -> None:
    """Neither gives a traceback."""
    with pytest.raises(EdgebenchError, match="there is no file"):
        yaml12.read(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(EdgebenchError, match="cannot be read"):
        yaml12.read(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [("model.width=32", "model.width", 32), ("a=b=c", "a", "b=c"), ("x= [1, 2]", "x", [1, 2])],
)
def test_assignments_are_typed(text: str, key: str, value: Any) -> None:
    """``--set`` values are YAML."""
    assert yaml12.assignments((text,)) == {key: value}


def test_assignments_without_a_key_are_all_named() -> None:
    """All mistakes at once."""
    with pytest.raises(EdgebenchError) as caught:
        yaml12.assignments(("width", "a=1", "=2"))
    assert caught.value.mistakes == (
        "--set width: write key=value, as in model.width=32",
        "--set =2: write key=value, as in model.width=32",
    )
