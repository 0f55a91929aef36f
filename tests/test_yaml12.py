"""YAML 1.2 scalars, where 1.1 surprises."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stopwatch import at_most

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


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("+.inf", math.inf), ("-.INF", -math.inf), ("0o17", 15), ("1.", 1.0), ("''", ""),
        ('"5"', "5"), ("!!str 5", "5"), ("!!float 3", 3.0), ("0b1", "0b1"), ("Null", None),
        ("", None), ("# nothing", None), ("yes: 1", {"yes": 1}), ("1: a", {1: "a"}),
        ("%YAML 1.1\n---\nx: yes", {"x": "yes"}),
    ],
)  # fmt: skip
def test_more_scalars(text: str, value: object) -> None:
    """Infinities, octals, quotes, tags of YAML's own; a file that says 1.1 is read as 1.2."""
    parsed = yaml12.parse(text, "text")
    assert parsed == value
    assert type(parsed) is type(value)


def test_not_a_number_is_one() -> None:
    """It equals nothing, itself included."""
    assert math.isnan(yaml12.parse("x: .nan", "f")["x"])


@given(st.from_regex(r"[-+.]?[0-9a-fnoxN][0-9abcefnoptuxyN_.+-]{0,11}", fullmatch=True))
def test_a_plain_scalar_means_the_same_alone_and_in_a_list(text: str) -> None:
    """What is read without the parser is read as the parser would."""
    assert repr([yaml12.parse(text, "f")]) == repr(yaml12.parse(f"[{text}]", "f"))


def test_a_merge_key_brings_what_is_not_there() -> None:
    """Its own keys win, the first of several mappings wins over the next."""
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], x: 5}"
    assert yaml12.parse(text, "f")["c"] == {"x": 5, "y": 2, "z": 4}


LAUGHS = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in itertools.pairwise("abcdefghi")
)
"""Nine lines that spell 9 to the power of 9 values."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[" * 2000,
            "f, line 1, column 51: maximum depth of data structure exceeded (51)",
            id="2,000 brackets",
        ),
        pytest.param(
            "- " * 2000,
            "f, line 1, column 101: maximum depth of data structure exceeded (51)",
            id="2,000 dashes",
        ),
        pytest.param(
            LAUGHS,
            "f, line 1, column 26: there are more than 100,000 values, aliases included",
            id="a billion laughs",
        ),
        pytest.param(
            LAUGHS.replace("[1, 1, 1, 1, 1, 1, 1, 1, 1]", "{x: 1}").replace("[*", "{<<: [*")
            .replace("]", "]}"),
            "f, line 1, column 4: there are more than 100,000 values, aliases included",
            id="a billion merges",
        ),
        pytest.param(
            "&a [*a]", "f, line 1, column 1: it is nested deeper than 50 levels", id="a cycle"
        ),
        pytest.param(
            "x: " + "9" * 5000,
            "f, line 1, column 4: the integer 99999999999999999999… has more than 100 digits",
            id="5,000 digits",
        ),
        pytest.param(
            "9" * 5000,
            "f, line 1, column 1: the integer 99999999999999999999… has more than 100 digits",
            id="5,000 digits alone",
        ),
        pytest.param("x: !!int abc", "f, line 1, column 4: 'abc' is no int", id="no integer"),
        pytest.param("x: !!bool", "f, line 1, column 4: '' is no bool", id="no boolean"),
        pytest.param(
            "x: !!python/object/apply:os.system [ls]",
            "f, line 1, column 4: the tag 'tag:yaml.org,2002:python/object/apply:os.system' is "
            "not read",
            id="an object",
        ),
        pytest.param("x: !!binary aGk=", "f, line 1, column 4: the tag 'tag:yaml.org,2002:binary' "
                     "is not read", id="binary"),
        pytest.param(
            "a: 1\nb: x\0y",
            "f, line 2, column 5: the character U+0000 is not allowed in YAML",
            id="NUL",
        ),
        pytest.param(
            "a: 1\n---\nb: 2",
            "f, line 2, column 1: expected a single document in the stream but found another "
            "document",
            id="two documents",
        ),
        pytest.param(
            "? [1, 2]\n: 3", "f, line 1, column 3: a list or mapping cannot be a key", id="list key"
        ),
        pytest.param("<<: 5", "f, line 1, column 5: '<<' merges mappings only", id="merges 5"),
        pytest.param("*a", "f, line 1, column 1: found undefined alias 'a'", id="no anchor"),
        pytest.param(
            '"\\ud800"', "f, line 1, column 1: half a surrogate pair is no character", id="half"
        ),
        pytest.param('"\\U0FFFFFFF"', "f: an escape names no character, as '\\U00110000'",
                     id="beyond"),
        pytest.param("x" * 300_001, "f: is longer than 300,000 characters", id="long"),
    ],
)  # fmt: skip
def test_what_would_hurt_is_one_clear_message(text: str, message: str) -> None:
    """Bombs, cycles, depth, digits, tags and characters: told with their place, in a moment."""
    with at_most(5):
        with pytest.raises(EdgebenchError) as caught:
            yaml12.parse(text, "f")
        assert caught.value.mistakes == (message,)


def test_an_anchor_that_stands_twice_means_the_last(recwarn: pytest.WarningsRecorder) -> None:
    """As YAML 1.2 says (section 3.2.2.2); without a word from the parser."""
    assert yaml12.parse("a: &a 1\nb: &a 2\nc: *a", "f")["c"] == 2
    assert list(recwarn) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: caf\xe9\n", "cannot be read: it is not UTF-8 text (byte 10)"),
        (b"\xff\xfea\x00", "cannot be read: it is not UTF-8 text (byte 1)"),
        (b"a" * 1_300_000, "is longer than 300,000 characters"),
    ],
    ids=["latin", "utf-16", "huge"],
)
def test_files_of_another_kind_are_told(tmp_path: Path, content: bytes, message: str) -> None:
    """The path and what is wrong with it."""
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(EdgebenchError) as caught:
        yaml12.read(path)
    assert str(path) in str(caught.value)
    assert str(caught.value).endswith(message)


def test_a_byte_order_mark_and_a_folder(tmp_path: Path) -> None:
    """Editors of one system write the mark; a folder is no file."""
    (tmp_path / "x.yaml").write_bytes("\ufeffa: é".encode())
    assert yaml12.read(tmp_path / "x.yaml") == {"a": "é"}
    with pytest.raises(EdgebenchError, match=r"cannot be read: Is a directory$"):
        yaml12.read(tmp_path)


MARKS = (
    "[", "]", "{", "}", ": ", "- ", "&a ", "*a", "<<: ", "!!int ", "x", ", ", "\n", "  ", "'", '"',
    "1e3", "|\n", "? ",
)  # fmt: skip
"""What YAML gives a meaning."""


@given(st.text(max_size=80) | st.lists(st.sampled_from(MARKS), max_size=25).map("".join))
def test_any_text_is_data_or_one_message(text: str) -> None:
    """No exception of the parser's own comes through, and what is read JSON could hold."""
    with contextlib.suppress(EdgebenchError):
        json.dumps(yaml12.parse(text, "f"), default=str)
