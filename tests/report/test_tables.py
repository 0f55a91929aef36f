"""The renderer, the units and the report's text."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_studies import crowded, pruned, quantized, reference, synthetic
from stopwatch import at_most

from edgebench.errors import EdgebenchError
from edgebench.limits import limit_named, over_limit
from edgebench.record import Objective, State
from edgebench.report import Board, best
from edgebench.report.boards import fit_matrix, redeploy, refit
from edgebench.report.document import document, notes, table_one
from edgebench.report.front import MEMBERS_SHOWN
from edgebench.report.intervals import tied, wilson
from edgebench.report.rows import as_json, axes_shown, exact, metrics_shown, refusals, trials
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
        "| name | ROM |\n| --- | ---: |\n| a\\|b | 1.44 MiB |\n| &lt;c&gt; | 95.00 KiB |\n"
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


def test_a_front_of_hundreds_is_cut_to_what_can_be_read() -> None:
    """Its best members stand in the tables, a note counts the others, json has all of them."""
    first = reference().rows[1]
    rows = [
        dataclasses.replace(first, trial=number, name=f"trial-{number:04d}")
        for number in range(2_000)
    ]
    record = dataclasses.replace(reference(), rows=rows)  # all alike: all are members
    with at_most(2):
        table = table_one(record)
        said = notes(record)
        assert len(fit_matrix(record, [H7])[0]) == 3 + MEMBERS_SHOWN
    assert [key for key in table[0] if key] == [f"trial-{n:04d}" for n in range(MEMBERS_SHOWN)]
    assert (
        "The front has 2,000 members; tables show the 30 that are best in accuracy. All of them: "
        "the formats csv and json."
    ) in said
    assert sum(row["on_front"] for row in as_json(record)["rows"]) == 2_000  # type: ignore[attr-defined]  # JSON


def test_a_time_on_one_board_is_no_time_on_another() -> None:
    """It is left out, sought or not, and a note says where it can be had."""
    record = reference()
    timed = dataclasses.replace(
        record,
        target="nucleo-h743zi2",
        objectives=(*record.objectives, Objective("footprint/latency_ms", "minimize")),
        rows=[
            dataclasses.replace(row, metrics={**row.metrics, "footprint/latency_ms": 12.0})
            for row in record.rows
        ],
    )
    assert "latency" in trials(refit(timed, H7))[0]  # the study's own board
    other = refit(timed, DISCO)
    assert "latency" not in trials(other)[0]
    assert other.objectives == tuple(record.objectives)
    assert (
        "Latency: estimated for nucleo-h743zi2 alone, and left out here; 'edgebench profile RUN "
        f"--target {DISCO.name}' estimates it for this board."
    ) in notes(other)


def test_when_nothing_fits_the_report_says_so() -> None:
    """An empty front is a sentence, not an empty table."""
    record = refit(reference(), DISCO)
    assert "No trial is on the front: none finished within the budget." in document(record, "table")


def test_fit_matrix_names_the_margin_or_the_first_limit() -> None:
    """1 - 1.02 x 1510044 / 2097152 = 27 % to spare; 18322076 / 1048576 = 17.47 times too much."""
    rows = fit_matrix(reference(), [DISCO, H7])
    assert rows[0]["trial-0000-vgg-w64"] == "no: ROM x17.47"
    assert rows[1]["trial-0001-gap-w64"] == "ROM 27 % spare"
    assert rows[1]["free flash"] == 2097152


def test_between_the_figure_and_the_upper_one_it_may_fit() -> None:
    """1,510,044 B are under 1,520,000 B, and the 1,540,244 B that they may be are over."""
    between = Board("between", 1_520_000, 327_680)
    [line] = fit_matrix(reference(), [between])
    assert line["trial-0001-gap-w64"] == "may fit: ROM up to x1.01"
    asked = refit(reference(), between)
    assert [row.trial for row in asked.front()] == []
    assert trials(asked)[1]["fits"] == (
        "may fit: ROM 1,510,044 B is under 1,520,000 B of between, but may be up to 1,540,244 B, "
        "20,244 B over"
    )
    assert limit_named(str(trials(asked)[1]["fits"])) == "ROM"


def test_what_was_recorded_without_upper_figures_is_not_promised_to_fit() -> None:
    """Studies of earlier versions: the estimate is under the limit, and no more is known."""
    record = reference()
    rows = [
        dataclasses.replace(
            row, metrics={k: v for k, v in row.metrics.items() if "_upper_" not in k}
        )
        for row in record.rows
    ]
    old = dataclasses.replace(record, rows=rows)
    [line] = fit_matrix(old, [H7])
    assert line["trial-0001-gap-w64"] == "may fit: ROM at least x0.72"
    assert str(trials(refit(old, H7))[1]["fits"]).startswith("may fit: ROM is at least 1,510,044 B")


def test_a_time_stands_in_the_tables_with_its_upper_figure() -> None:
    """One column, and in the front's table the time that nine of ten networks do not exceed."""
    record = reference()
    times = {"footprint/latency_ms": 12.345, "footprint/latency_upper_ms": 15.6}
    rows = [dataclasses.replace(row, metrics={**row.metrics, **times}) for row in record.rows]
    timed = dataclasses.replace(record, rows=rows)
    assert trials(timed)[0]["latency"] == 12.345
    shown = {row[""]: row for row in table_one(timed)}
    assert text(shown["latency"]["trial-0001-gap-w64"]) == "12.35 ms"
    assert text(shown["latency, upper"]["trial-0001-gap-w64"]) == "15.6 ms"
    assert "latency" not in trials(record)[0]


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
    assert "- Budget: ROM 20,000,000 B.\n" in page
    assert "- Footprints: estimated; st, float32, fused chains.\n" in page
    assert "95 % Wilson interval" in page


def test_the_notes_of_an_int8_study_say_how_true_its_int8_figures_are() -> None:
    """Not how true the float ones are."""
    record = dataclasses.replace(reference(), provenance_int8="estimated of int8")
    deployed = dataclasses.replace(record, deployed="int8")
    page = document(deployed, "table", boards=[DISCO])
    assert "- Footprints: estimated of int8; st, float32, fused chains.\n" in page
    assert "- Footprints: estimated; st" in document(record, "table", boards=[DISCO])


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
    with at_most(2):
        document(record, "table", boards=[DISCO, H7])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("ROM", 1001, 1000, "B", "a-board"), "ROM 1,001 B is over 1,000 B of a-board by 1 B"),
        (("MACC int8", 5e6, 10**6), "MACC int8 5,000,000 is over 1,000,000 by 4,000,000"),
        (("RAM", 9, 8, "B", "x (10 B less 2 B reserved)"),
         "RAM 9 B is over 8 B of x (10 B less 2 B reserved) by 1 B"),
    ],
)  # fmt: skip
def test_one_sentence_says_what_is_over_and_gives_the_figure_back(
    words: tuple[Any, ...], sentence: str
) -> None:
    """The same words at the gate, on a board and in a report; the figure is read from them."""
    assert over_limit(*words) == sentence
    assert limit_named(sentence) == words[0]
    assert limit_named(f"{sentence}; RAM 3 B is over 2 B by 1 B") == words[0]
    assert limit_named("3 blocks halve 8 pixels to 1") is None


def test_a_study_for_int8_is_shown_in_int8() -> None:
    """Columns, boards and notes are of the model that ships, and say so."""
    record = quantized(60)
    assert metrics_shown(record) == [
        "val/accuracy_int8", "footprint/macc_int8", "footprint/parameters_int8",
        "footprint/rom_bytes_int8", "footprint/ram_bytes_int8",
    ]  # fmt: skip
    shown = document(record, "table", boards=[DISCO])
    assert "The front on boards, int8" in shown
    assert "- Budget of stm32f746g-disco: ROM int8 300,000 B, RAM int8 320,000 B; " in shown
    assert "judged by the upper figures.\n" in shown
    assert (
        "- Deployed as int8: every footprint, fit and verdict is of that model; --dtype float32 "
        "shows the other.\n"
    ) in shown
    members = {row.name: row for row in record.front()}
    for line in fit_matrix(record, [DISCO]):
        for name, row in members.items():
            memories = (
                ("ROM", "footprint/rom_upper_bytes_int8", DISCO.flash_bytes),
                ("RAM", "footprint/ram_upper_bytes_int8", DISCO.ram_bytes),
            )
            title, metric, limit = min(memories, key=lambda one: 1 - row.metrics[one[1]] / one[2])
            assert line[name] == f"{title} {100 * (1 - row.metrics[metric] / limit):.0f} % spare"


def test_a_study_of_one_data_type_does_not_speak_of_another() -> None:
    """No note on what was deployed where there is nothing to choose."""
    assert not [note for note in notes(synthetic(10)) if note.startswith("Deployed")]


def test_a_board_asked_of_an_int8_study_is_asked_for_the_int8_model() -> None:
    """The verdicts of ``report --target`` against the int8 figures, by hand."""
    small = Board("small", 60_000, 14_000)
    record = quantized(60)
    asked = refit(record, small)
    assert asked.budget == {"rom_upper_bytes_int8": 60_000, "ram_upper_bytes_int8": 14_000}
    trained = [row for row in record.rows if row.state == State.FINISHED]
    fitting = {
        row.trial
        for row in trained
        if row.metrics["footprint/rom_upper_bytes_int8"] <= 60_000
        and row.metrics["footprint/ram_upper_bytes_int8"] <= 14_000
    }
    assert fitting == {row.trial for row in asked.rows if row.feasible}
    assert 0 < len(fitting) < len(trained)
    over = next(row for row in asked.rows if row.state == State.FINISHED and not row.feasible)
    used = over.metrics["footprint/rom_bytes_int8"]
    assert over.reason is not None
    assert over.reason.startswith(f"ROM int8 {used:,} B is over 60,000 B of small by ")


def test_the_other_data_type_is_the_same_study_with_its_twins() -> None:
    """Objectives, limits, verdicts and front of the float32 model; there and back is the same."""
    record = quantized(60)
    single = redeploy(record, "float32")
    assert single.dtype == "float32"
    assert single.objectives == synthetic(1).objectives
    assert single.budget == {"rom_upper_bytes": 300_000, "ram_upper_bytes": 320_000}
    for row, was in zip(single.rows, record.rows, strict=True):
        if was.state == State.FINISHED:
            assert row.feasible == (was.metrics["footprint/rom_upper_bytes"] <= 300_000)
        else:
            assert row == was
    assert best(single.rows, single.objectives) != best(record.rows, record.objectives)
    assert document(single, "json") != document(record, "json")
    again = redeploy(single, "int8")
    assert (again.rows, again.objectives) == (record.rows, record.objectives)
    assert again.budget == record.budget


def test_a_data_type_that_was_not_measured_is_refused() -> None:
    """The study's name and what it lacks."""
    with pytest.raises(EdgebenchError, match=r"^the study 'table1' has no int8 figures$"):
        redeploy(reference(), "int8")


def test_a_limit_on_the_other_model_keeps_its_column() -> None:
    """A float32 limit in a study that ships int8: both are shown, each by its name."""
    record = dataclasses.replace(quantized(12), budget={"rom_bytes": 900_000, "macc": 50_000_000})
    names = metrics_shown(record)
    assert {"footprint/rom_bytes", "footprint/rom_bytes_int8", "footprint/macc"} <= set(names)
    assert "Budget of stm32f746g-disco: ROM 900,000 B, MACC 50,000,000." in notes(record)[2]


def test_what_was_never_quantized_shows_the_figures_it_has() -> None:
    """An int8 budget whose trials have float32 figures only: a column with those, not without."""
    record = dataclasses.replace(synthetic(8), deployed="int8")
    assert metrics_shown(record)[0] == "val/accuracy_best"
    assert "footprint/rom_bytes" in metrics_shown(record)


def test_few_refused_trials_stand_in_the_table() -> None:
    """Up to twenty, each with its reason, as they always did."""
    record = crowded(30, 20)
    shown = document(record, "table")
    assert shown.count(" refused: R") == 20
    assert "were refused before training" not in shown


def test_many_refused_trials_are_counted_and_asked_for() -> None:
    """By the figure that each is over; whole with ``everything``, and always in csv and json."""
    record = crowded(30, 300)
    shown = document(record, "table")
    assert "Trials of crowded-30-300, without the refused" in shown
    assert " refused: R" not in shown
    by = {"ROM": 0, "RAM": 0}
    for row in record.rows:
        if row.state == State.REFUSED:
            by[str(row.reason)[:3]] += 1
    assert refusals(record) == by
    assert (
        f"300 trials were refused before training: {by['ROM']} by ROM, {by['RAM']} by RAM. All "
        "rows: --all, or the formats csv and json.\n"
    ) in shown
    assert document(record, "table", everything=True).count(" refused: R") == 300
    assert len(document(record, "csv").splitlines()) == 331
    assert len(json.loads(document(record, "json"))["rows"]) == 330


def test_a_candidate_that_cannot_be_built_is_refused_for_another_reason() -> None:
    """It is over no limit."""
    record = crowded(30, 60)
    rows = [
        dataclasses.replace(row, reason="5 blocks halve 8 pixels to 0") if row.trial == 1 else row
        for row in record.rows
    ]
    assert refusals(dataclasses.replace(record, rows=rows))["other"] == 1


def test_a_pruned_trial_keeps_its_place_and_its_reason() -> None:
    """It is in the table and in csv, not on the front."""
    record = synthetic(30)
    top = best(record.rows, record.objectives)
    assert top is not None
    rows = [pruned(row) if row is top else row for row in record.rows]
    record = dataclasses.replace(record, rows=rows)
    [row] = [row for row in trials(record) if row["trial"] == top.trial]
    assert row["fits"] == "pruned: it could not join the front any more (epoch 2)"
    assert (row["front"], row["accuracy"]) == ("", None)
    assert top.trial not in [row.trial for row in record.front()]
    assert "1 pruned" in notes(record)[0]


LONG = [
    {"trial": 1, "fits": "yes"},
    {"trial": 12, "fits": "refused: ROM 73,000,000 B is over 20,000,000 B by 53,000,000 B"},
]


def test_a_last_column_is_wrapped_in_the_terminal() -> None:
    """Within its column while there is room, under its row where there is little."""
    assert render(LONG, "table", width=48) == (
        "trial  fits\n"
        "─────  ─────────────────────────────────────────\n"
        "    1  yes\n"
        "   12  refused: ROM 73,000,000 B is over\n"
        "       20,000,000 B by 53,000,000 B\n"
    )
    wide = [{"a name as long as it takes": "x", **row} for row in LONG]
    assert render(wide, "table", width=44).splitlines()[2:] == [
        "x                               1  yes",
        "x                              12",
        "    refused: ROM 73,000,000 B is over",
        "    20,000,000 B by 53,000,000 B",
    ]
    assert render(LONG, "table", width=400) == render(LONG, "table")


def test_a_table_wider_than_the_terminal_has_the_rest_under_each_row() -> None:
    """By name, without what is empty; no line is wider, and no rule is broken."""
    rows = [
        {"axis": "train.momentum", "type": "float", "values": ">= 0.0, < 1.0", "default": 0.9,
         "about": "momentum 0 is plain descent, for which nesterov means nothing"},
        {"axis": "train.nesterov", "type": "bool", "values": "", "default": None, "about": "so"},
    ]  # fmt: skip
    assert render(rows, "table", width=40) == (
        "axis            type   values\n"
        "──────────────  ─────  ─────────────\n"
        "train.momentum  float  >= 0.0, < 1.0\n"
        "    default: 0.9; about: momentum 0 is\n"
        "    plain descent, for which nesterov\n"
        "    means nothing\n"
        "train.nesterov  bool\n"
        "    about: so\n"
    )


def test_three_thousand_refused_rows_take_a_moment() -> None:
    """3,200 rows, each format; the front among them too."""
    record = crowded()
    with at_most(6):
        for format_ in ("table", "markdown", "json", "csv"):
            document(record, format_, boards=[DISCO, H7], everything=True)
        record.front()


def test_a_study_is_a_data_frame() -> None:
    """One row a trial with full names; what a trial does not have is missing."""
    record = quantized(40)
    frame = record.to_pandas()
    assert list(frame.columns[:7]) == [
        "trial", "run_id", "name", "state", "reason", "on_front", "model.family",
    ]  # fmt: skip
    assert len(frame) == 40
    assert set(frame["state"]) == {"finished", "refused"}
    assert sorted(frame[frame["on_front"]]["trial"]) == sorted(r.trial for r in record.front())
    for row in record.rows:
        line = frame.iloc[row.trial]
        assert line["footprint/rom_bytes_int8"] == row.metrics["footprint/rom_bytes_int8"]
        assert math.isnan(line["val/accuracy_int8"]) == (row.state == State.REFUSED)
    empty = dataclasses.replace(record, rows=[]).to_pandas()
    assert (len(empty), list(empty.columns)) == (0, list(frame.columns[:6]))


def _row(params: dict[str, object]) -> object:
    return type(reference().rows[0])(0, "", "", "finished", None, params, {})  # type: ignore[arg-type]  # scalars only
