"""Scores of uneven classes, against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics as sklearn

from edgebench.metrics import METRICS, metric_of
from edgebench.scores import CLASSES_LISTED, SCORES, counted, recall_name, recalls, scored

CLASSES = ("ant", "bee", "cat/dog", "élan")


def drawn(seed: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return labels of four uneven classes, and what a poor classifier makes of them."""
    random = np.random.default_rng(seed)
    labels = np.append(random.choice(4, 60, p=(0.7, 0.15, 0.1, 0.05)), range(4))
    return labels, np.where(random.random(64) < 0.6, labels, random.integers(0, 4, 64))


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    """Every score, and the recall of each class."""
    labels, predicted = drawn(seed)
    counts = counted(labels, predicted, 4)
    np.testing.assert_array_equal(counts, sklearn.confusion_matrix(labels, predicted))
    found = scored(counts, CLASSES, "val")
    each = sklearn.recall_score(labels, predicted, average=None)
    assert found == pytest.approx(
        {
            "val/accuracy": sklearn.accuracy_score(labels, predicted),
            "val/balanced_accuracy": sklearn.balanced_accuracy_score(labels, predicted),
            "val/macro_f1": sklearn.f1_score(labels, predicted, average="macro"),
            "val/recall_worst": min(each),
            **{recall_name(name): share for name, share in zip(CLASSES, each, strict=True)},
        }
    )


def test_counts_are_by_true_and_predicted_class() -> None:
    """By hand: a 0 taken for a 1, and a 2 twice right."""
    found = counted(np.array([0, 2, 2]), np.array([1, 2, 2]), 3)
    assert found.tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 2]]


def test_a_class_that_does_not_occur_counts_for_nothing() -> None:
    """Two of three classes have images: one is found in half, the other always."""
    counts = counted(np.array([0, 0, 1]), np.array([0, 1, 1]), 3)
    assert recalls(counts)[:2].tolist() == [0.5, 1.0]
    assert math.isnan(recalls(counts)[2])
    found = scored(counts, ("a", "b", "c"), "test", "_int8")
    assert found == pytest.approx(
        {
            "test/accuracy_int8": 2 / 3,
            "test/balanced_accuracy_int8": 0.75,
            "test/recall_worst_int8": 0.5,
            "test/macro_f1_int8": 2 / 3,  # 2/3 of each
            "test/recall_int8/a": 0.5,
            "test/recall_int8/b": 1.0,
        }
    )


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_a_share_with_its_rows_in_the_table_of_metrics(name: str) -> None:
    """0 where nothing is right, 1 where all is; recorded on both splits, in both data types."""
    labels = np.arange(4)
    assert SCORES[name](counted(labels, labels, 4)) == 1
    assert SCORES[name](counted(labels, (labels + 1) % 4, 4)) == 0
    for split in ("val", "test"):
        for suffix in ("", "_int8"):
            assert f"{split}/{name}{suffix}" in METRICS


def test_the_recall_of_a_class_is_a_figure() -> None:
    """It may be sought; it has a twin of the other data type, and a name that stores take."""
    assert recall_name("cat/dog") == "val/recall/cat_dog"
    metric = metric_of("val/recall/bee")
    assert (metric.title, metric.unit, metric.searched) == ("recall of bee", "share", True)
    assert (metric.dtype, metric.twin) == ("float32", "val/recall_int8/bee")
    assert metric_of(metric.twin).twin == "val/recall/bee"
    assert not metric_of("test/recall/bee").searched


def test_too_many_classes_are_not_listed() -> None:
    """Of a thousand classes only the scores are kept."""
    count = CLASSES_LISTED + 1
    labels = np.arange(count)
    found = scored(counted(labels, labels, count), [str(n) for n in range(count)], "val")
    assert set(found) == {f"val/{name}" for name in SCORES}
