"""Means over seeds: intervals and ties against scipy, and the table of a finalized study."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgebench.record import Row, State
from edgebench.report import T_95, Finals, Member, finals_document, student, welch_tied


def finals() -> Finals:
    """Three members by hand: two that tie, one apart; one seed of the second failed."""
    opening = {"when": "2026-01-02T03:04:05+00:00", "seeds": [1, 2, 3]}
    members = ([0.90, 0.91, 0.92], [0.905, 0.915, None], [0.50, 0.51, 0.52])
    return Finals("s", [opening], [_member(n, shares) for n, shares in enumerate(members)])


def test_the_table_shows_means_ties_and_what_failed() -> None:
    """The mean with its interval, the trials that it ties with; a seed that failed stands below."""
    shown = finals_document(finals(), "table")
    lines = shown.splitlines()
    half = 4.303 * 0.01 / math.sqrt(3)
    assert lines[4].split("  ")[-1].strip() == "1"
    assert f"91.00 %  {100 * (0.91 - half):.2f} to {100 * (0.91 + half):.2f} %" in lines[4]
    assert lines[5].rstrip().endswith("  0")
    assert lines[6].rstrip().endswith("  none")
    assert [line.split()[2] for line in lines[4:7]] == ["3", "2", "3"]
    assert lines[-1] == "- trial-1, seed 3 failed: it broke."
    [head, *rows] = finals_document(finals(), "csv").splitlines()
    assert head.split(",")[:4] == ["trial", "run_id", "name", "seeds"]
    assert rows[1].endswith(",0")


def _member(trial: int, shares: list[float | None]) -> Member:
    """Return a member whose finals have these accuracies; None is one that failed."""
    runs = {}
    for seed, share in enumerate(shares, 1):
        metrics = {} if share is None else {"val/accuracy_best": share, "test/accuracy": share}
        state, reason = State.FINISHED, None
        if share is None:
            state, reason = State.FAILED, "it broke\nTraceback"
        runs[seed] = Row(trial, f"{trial}-{seed}", "final", state, reason, {}, metrics)
    row = Row(trial, str(trial), f"trial-{trial}", State.FINISHED, None, {}, {})
    return Member(row, runs, int8=False)


def test_json_has_the_exact_means_the_runs_and_the_ties() -> None:
    """What a program reads: every run by its seed, a failed one with its reason and no figure."""
    content = json.loads(finals_document(finals(), "json"))
    assert list(content) == ["study", "openings", "rows"]
    second = content["rows"][1]
    assert second["test_accuracy"]["mean"] == pytest.approx(0.91)
    assert second["ties_with"] == [0]
    assert [run["state"] for run in second["runs"]] == ["finished", "finished", "failed"]
    assert second["runs"][2] == {
        "seed": 3, "run_id": "1-3", "state": "failed", "reason": "it broke\nTraceback",
        "val_accuracy": None, "test_accuracy": None,
    }  # fmt: skip


def test_ties_are_of_the_model_that_ships() -> None:
    """Equal float32 accuracies, int8 ones far apart: tied as float32, not as int8; it is said."""
    members = [_member(0, [0.90, 0.91]), _member(1, [0.90, 0.91])]
    for member, int8 in zip(members, (0.9, 0.2), strict=True):
        for seed, run in member.runs.items():
            metrics = {**run.metrics, "test/accuracy_int8": int8 + 0.001 * seed}
            member.runs[seed] = dataclasses.replace(run, metrics=metrics)  # type: ignore[index]  # a dict
    members = [dataclasses.replace(member, int8=True) for member in members]
    single = dataclasses.replace(finals(), members=members)
    assert single.ties(members[0]) == [1]
    quantized = dataclasses.replace(single, dtype="int8")
    assert quantized.ties(members[0]) == []
    assert "- Ties: test accuracy int8, where" in finals_document(quantized, "table")


def test_the_quantiles_are_students() -> None:
    """Against scipy, to the three decimals that are printed."""
    assert [round(float(stats.t.ppf(0.975, freedom)), 3) for freedom in range(1, 31)] == list(T_95)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=40))
def test_an_interval_is_students_cut_to_a_share(shares: list[float]) -> None:
    """Scipy's interval within the table's rounding; wider beyond 30 degrees of freedom."""
    found = student(shares)
    assert found.mean == pytest.approx(statistics.fmean(shares))
    half = stats.t.ppf(0.975, len(shares) - 1) * np.std(shares, ddof=1) / math.sqrt(len(shares))
    assert found.low is not None
    assert found.high is not None
    assert found.low <= max(0, found.mean - half) + 2e-3
    assert found.high >= min(1, found.mean + half) - 2e-3
    if len(shares) <= 31:
        assert found.low == pytest.approx(max(0, found.mean - half), abs=1e-3)
        assert found.high == pytest.approx(min(1, found.mean + half), abs=1e-3)


SHARES = st.lists(st.integers(0, 1000).map(lambda count: count / 1000), min_size=2, max_size=8)


@given(SHARES, SHARES)
def test_what_welchs_test_cannot_tell_apart_ties(mine: list[float], theirs: list[float]) -> None:
    """Where scipy's exact degrees of freedom leave zero inside, ours (rounded down) does too."""
    tied = welch_tied(mine, theirs)
    assert tied == welch_tied(theirs, mine)
    if 1 in {len(set(mine)), len(set(theirs))}:  # scipy warns of a side without a spread
        assert tied or mine != theirs
        return
    exact = stats.ttest_ind(mine, theirs, equal_var=False)
    if exact.pvalue > 0.051:
        assert tied
    if exact.pvalue < 0.001 and exact.df >= 4:
        assert not tied


def test_one_value_has_no_interval_and_no_ties() -> None:
    """A single training says nothing about the next."""
    alone = student([0.5])
    assert (alone.mean, alone.low, alone.high, alone.count) == (0.5, None, None, 1)
    assert welch_tied([0.5], [0.4, 0.5]) is None
