"""The renderer, the units and the report's text."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_studies import reference, synthetic

from edgebench.errors import EdgebenchError
from edgebench.report import Board
from edgebench.report.boards import fit_matrix, refit
from edgebench.report.document import (
    as_json,
    axes_shown,
    document,
    exact,
    table_one,
    trials,
)
from edgebench.report.intervals import tied, wilson
from edgebench.report.table import FORMATS, render
from edgebench.units import (
    Bytes,
    Count,
    Seconds,
    Share,
    label,
    quantity,
    text,
)

DISCO = Board("stm32f746g-disco", 1048576, 327680)
H7 = Board("nucleo-h743zi2", 2097152, 1048576)


@pytest.mark.parametrize(
    ("value", "decimal", "binary"),
    [
        (Bytes(18322076), "18.32 MB", "17.47 MiB"),
        (Bytes(1510044), "1.51 MB", "1.44 MiB"),
        (Bytes(97280), "97.28 kB", "95.00 KiB"),
        (Bytes(999), "999 B", "999 B"),
        (Bytes(999_996), "1.00 MB", "976.56 KiB"),
        (Count(43954784), "43.95 M", "43.95 M"),
        (Count(373386), "373.39 k", "373.39 k"),
        (Count(0), "0", "0"),
        (Share(0.882), "88.20 %", "88.20 %"),
        (Seconds(61.23), "61.2 s", "61.2 s"),
        (True, "yes", "yes"),
        (None, "–", "–"),  # noqa: RUF001 - the mark of an empty cell
        (0.001, "0.001", "0.001"),
        (11, "11", "11"),
    ],
)
def test_numbers_are_written_as_the_published_table_writes_them(
    value: object, decimal: str, binary: str
) -> None:
    """Decimal units by default, binary on demand."""
    assert text(value) == decimal
    assert text(value, "binary") == binary


def test_a_metric_knows_what_it_counts() -> None:
    """The name chooses the kind; the number is not changed."""
    assert quantity("footprint/rom_bytes_int8", 12.0) == Bytes(12)
    assert label("footprint/rom_bytes_int8") == "ROM int8"
    assert label("val/accuracy_best") == "accuracy"
    assert label("my/metric") == "my/metric"
    nan = quantity("footprint/macc", math.nan)
    assert isinstance(nan, float)
    assert math.isnan(nan)


ROWS = [
    {"name": "a|b", "ROM": Bytes(1510044), "note": None},
    {"name": "<c>", "ROM": Bytes(97280), "note": "two\nlines"},
]


def test_table_is_aligned_and_numbers_stand_right() -> None:
    """The golden text of a small table."""
    assert render(ROWS, "table", title="Two") == (
        "Two\n\n"
        "name       ROM  note\n"
        "────  ────────  ─────────\n"
        "a|b    1.51 MB  –\n"  # noqa: RUF001 - the mark of an empty cell
        "<c>   97.28 kB  two lines\n"
    )


def test_markdown_escapes_the_bar() -> None:
    """A bar inside a cell does not make a column."""
    assert render(ROWS, "markdown", columns=["name", "ROM"], units="binary") == (
        "| name | ROM |\n| --- | ---: |\n| a\\|b | 1.44 MiB |\n| <c> | 95.00 KiB |\n"
    )


def test_html_escapes_markup() -> None:
    """Names are text, never markup."""
    page = render(ROWS, "html", title="a < b")
    assert "<td>&lt;c&gt;</td>" in page
    assert "<caption>a &lt; b</caption>" in page
    assert '<td class="number">97.28 kB</td>' in page


def test_csv_and_json_carry_exact_numbers() -> None:
    """No unit and no rounding where a program reads."""
    assert json.loads(render(ROWS, "json"))[0] == {"name": "a|b", "ROM": 1510044, "note": None}
    parsed = list(csv.DictReader(io.StringIO(render(ROWS, "csv"))))
    assert parsed[1] == {"name": "<c>", "ROM": "97280", "note": "two\nlines"}
    assert json.loads(render([{"x": math.nan, "y": math.inf}], "json")) == [{"x": None, "y": None}]


def test_an_unknown_format_names_the_nearest() -> None:
    """The message names the value and the nearest valid choice."""
    with pytest.raises(
        EdgebenchError, match=r"unknown format 'markdwn'; did you mean 'markdown'\?"
    ):
        render(ROWS, "markdwn")


@pytest.mark.parametrize("format_", FORMATS)
def test_no_rows_render_in_every_format(format_: str) -> None:
    """An empty list is a valid list."""
    assert render([], format_).endswith("\n")


@given(st.floats(0, 1), st.integers(1, 100_000))
def test_wilson_solves_its_defining_equation(share: float, images: int) -> None:
    """Each end p satisfies |share - p| = z sqrt(p (1 - p) / n), the score test's boundary."""
    for end in wilson(share, images):
        boundary = 1.959963984540054 * math.sqrt(end * (1 - end) / images)
        assert abs(share - end) == pytest.approx(boundary, abs=1e-6)


def test_wilson_of_the_published_accuracy() -> None:
    """88.20 % of 10,000 images: figures of an independent calculator."""
    low, high = wilson(0.8820, 10000)
    assert (round(low, 4), round(high, 4)) == (0.8755, 0.8882)
    assert wilson(0.5, 0) == (0.0, 1.0)


def test_ties_are_symmetric_and_end_at_the_interval() -> None:
    """The lower accuracy ties from the low end of the higher one's interval upwards."""
    assert tied(0.8820, 0.8756, 10000)
    assert tied(0.8756, 0.8820, 10000)
    assert not tied(0.8820, 0.8754, 10000)


def test_trials_of_the_published_comparison() -> None:
    """The rows-as-trials table, as printed."""
    printed = render(trials(reference()), "markdown").splitlines()
    assert printed[0] == (
        "| trial | family | width | hidden | accuracy | test accuracy | MACC | parameters | ROM "
        "| RAM | front | fits |"
    )
    assert printed[2] == (
        "| 0 | vgg | 64 | 1024 | 88.20 % | 87.19 % | 43.95 M | 4.58 M | 18.32 MB | 97.28 kB "
        "| ● | yes |"
    )
    assert printed[4].endswith("| refused: ROM 73,000,000 B is over 20,000,000 B by 53,000,000 B |")


def test_table_one_has_metrics_as_rows_and_members_as_columns() -> None:
    """The published figures come out digit for digit."""
    rows = {row[""]: row for row in table_one(reference())}
    vgg, gap = "trial-0000-vgg-w64", "trial-0001-gap-w64"
    assert list(rows["MACC"]) == ["", vgg, gap]
    for name, first, second in [
        ("accuracy", "88.20 %", "81.80 %"),
        ("MACC", "43.95 M", "39.75 M"),
        ("parameters", "4.58 M", "373.39 k"),
        ("ROM", "18.32 MB", "1.51 MB"),
        ("RAM", "97.28 kB", "97.02 kB"),
        ("accuracy, 95 % interval", "87.55 to 88.82 %", "81.03 to 82.54 %"),
        ("accuracy ties with", "none", "none"),
    ]:
        assert (text(rows[name][vgg]), text(rows[name][gap])) == (first, second)


def test_ties_on_the_front_are_named() -> None:
    """Each member lists exactly those whose accuracy lies within the higher one's interval."""
    record = synthetic(60)
    members = {row.name: row for row in record.rows}
    rows = {row[""]: row for row in table_one(record)}
    shown = [name for name in rows["accuracy"] if name]
    for name in shown:
        mine = members[name].metrics["val/accuracy_best"]
        expected = [
            str(members[other].trial)
            for other in shown
            if other != name and tied(mine, members[other].metrics["val/accuracy_best"], 5000)
        ]
        assert rows["accuracy ties with"][name] == (", ".join(expected) or "none")


def test_json_has_the_contracts_keys_and_integer_bytes() -> None:
    """The object of ``report --format json``."""
    record = reference()
    result = json.loads(document(record, "json"))
    assert result == json.loads(json.dumps(as_json(record)))
    assert list(result) == ["study", "objectives", "rows"]
    assert list(result["rows"][0]) == [
        "trial", "run_id", "state", "reason", "params", "metrics", "on_front",
    ]  # fmt: skip
    assert [row["on_front"] for row in result["rows"]] == [True, True, False]
    assert '"footprint/rom_bytes": 18322076,' in document(record, "json")
    assert result["objectives"][0] == {"name": "val/accuracy_best", "goal": "maximize"}


def test_table_json_and_csv_hold_the_same_numbers() -> None:
    """Every number of the table, before it is written with a unit, is the JSON's number."""
    record = synthetic(40)
    rows = as_json(record)["rows"]
    assert isinstance(rows, list)
    flat = list(csv.DictReader(io.StringIO(document(record, "csv"))))
    for shown, full, line, whole in zip(trials(record), rows, flat, exact(record), strict=True):
        assert shown["ROM"] == full["metrics"]["footprint/rom_bytes"]
        assert shown["MACC"] == full["metrics"]["footprint/macc"]
        assert shown["accuracy"] == full["metrics"].get("val/accuracy_best")
        assert (shown["front"] == "●") == full["on_front"]
        assert line["footprint/ram_bytes"] == str(full["metrics"]["footprint/ram_bytes"])
        assert whole["model.width"] == full["params"]["model.width"]


def test_a_board_asked_later_moves_the_front_without_training() -> None:
    """The larger network no longer fits; the reason carries the exact bytes."""
    record = refit(reference(), H7)
    assert [row.reason for row in record.rows] == [
        "ROM 18,322,076 B is over 2,097,152 B of nucleo-h743zi2 by 16,224,924 B",
        None,
        "ROM 73,000,000 B is over 20,000,000 B by 53,000,000 B",
    ]
    members = [row for row in json.loads(document(record, "json"))["rows"] if row["on_front"]]
    assert [row["trial"] for row in members] == [1]


def test_when_nothing_fits_the_report_says_so() -> None:
    """An empty front is a sentence, not an empty table."""
    record = refit(reference(), DISCO)
    assert "No trial is on the front: none finished within the budget." in document(record, "table")


def test_fit_matrix_names_the_margin_or_the_first_limit() -> None:
    """1 - 1510044 / 2097152 = 28 % to spare; 18322076 / 1048576 = 17.47 times too much."""
    rows = fit_matrix(reference(), [DISCO, H7])
    assert rows[0]["trial-0000-vgg-w64"] == "no: ROM x17.47"
    assert rows[1]["trial-0001-gap-w64"] == "ROM 28 % spare"
    assert rows[1]["flash left"] == 2097152


def test_axes_that_never_vary_are_left_out_and_clashes_keep_their_path() -> None:
    """The family always shows; two axes that end alike show in full."""
    rows = [
        _row({"model.family": "gap", "model.width": w, "head.width": w, "train.epochs": 5})
        for w in (8, 16)
    ]
    assert axes_shown(rows) == {
        "model.family": "family",
        "model.width": "model.width",
        "head.width": "head.width",
    }


def test_notes_name_provenance_convention_and_the_rule_of_ties() -> None:
    """What must be known to read the numbers stands under the table."""
    page = document(reference(), "table", boards=[DISCO])
    assert "- Objectives: maximize accuracy, minimize ROM. Trials: 2 finished, 1 refused.\n" in page
    assert "- Data set: cifar10 (10000 validation images, 10000 test images).\n" in page
    assert "- Budget: ROM 20000000 B.\n" in page
    assert "- Footprints: estimated; st, float32, fused chains.\n" in page
    assert "95 % Wilson interval" in page


def test_wide_fronts_continue_below() -> None:
    """No table of the front has more than six members abreast, and none is lost."""
    record = synthetic(300)
    names = {row[""]: row for row in table_one(record)}["MACC"].keys() - {""}
    assert len(names) > 6
    page = document(record, "markdown", boards=[DISCO])
    heads = [line for line in page.splitlines() if line.startswith("|  | trial-")]
    assert all(line.count("trial-") <= 6 for line in heads)
    assert sum(line.count("trial-") for line in heads) == len(names)


def test_html_document_is_well_formed() -> None:
    """Every tag that opens closes."""
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002 - inherited
            open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

    Balance().feed(render(trials(reference()), "html", title="t"))
    assert open_tags == []


def test_five_hundred_rows_take_well_under_three_seconds() -> None:
    """The whole text report of 500 synthetic trials."""
    record = synthetic(500)
    start = time.perf_counter()
    document(record, "table", boards=[DISCO, H7])
    assert time.perf_counter() - start < 2


def _row(params: dict[str, object]) -> object:
    return type(reference().rows[0])(0, "", "", "finished", None, params, {})  # type: ignore[arg-type]  # scalars only
