"""The ladder: PyTorch float32, ONNX float32, ONNX int8, each rung compared on real images.

Every side starts from the same uint8 pixels. PyTorch gets them as the run's data set normalizes
them, the ONNX files as their own metadata say, because that is what a user of the file will do: a
file with the wrong mean fails here, at its input.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export.inference import Images, Logits, Parity, difference, onnx_logits, torch_logits
from edgebench.export.parity.divergence import Divergence, onnx_divergence, torch_divergence
from edgebench.export.preprocessing import Preprocessing

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]  # [N, C, H, W]
Labels = npt.NDArray[np.int64]  # [N]

CHUNK = 1024  # images that are float32 at the same time
LUCK = 2  # images whose loss proves nothing
SEARCHED = 16  # images on which a failed rung is searched: those that differ most


@dataclass(frozen=True)
class Limits:
    """What a rung may differ by: the one place of these thresholds, for trials and hand-overs.

    ``max_abs_diff`` (of a logit) and ``min_agreement`` (the share of images with the same top-1
    class) bind the float32 rung, where nothing but rounding may change; ``max_accuracy_drop`` (a
    share: 0.01 is one point) binds both. Rounding grows with the numbers that are rounded: where
    the reference has a logit beyond 1, ``max_abs_diff`` is relative to the largest of them
    (`allowed_diff`). On a split so small that 2 images are more than a positive limit, 2 images
    may be lost: fewer are luck. A limit of 0 means what it says.
    """

    max_abs_diff: float = 1e-4
    min_agreement: float = 0.999
    max_accuracy_drop: float = 0.01

    def __post_init__(self) -> None:
        """Refuse a NaN, which every comparison would pass; raises EdgebenchError."""
        for name, value in asdict(self).items():
            if np.isnan(value):
                raise EdgebenchError(f"the limit {name} must be a number, but got {value}")

    def allowed_diff(self, max_abs_logit: float) -> float:
        """Return what a logit may differ by, where the largest of the reference has this size."""
        return self.max_abs_diff * max(1.0, max_abs_logit)

    def allowed_drop(self, images: int) -> float:
        """Return the accuracy that may be lost on ``images`` images, as a share."""
        limit = self.max_accuracy_drop
        return limit if limit <= 0 else max(limit, LUCK / images)


@dataclass(frozen=True)
class Rung:
    """One comparison: the differences, both accuracies, and why it failed, if it did."""

    name: str  # "onnx" or "int8"
    reference: str
    candidate: str
    images: int
    max_abs_diff: float
    mean_abs_diff: float
    top1_agreement: float
    max_abs_logit: float  # of the reference
    reference_accuracy: float
    candidate_accuracy: float
    exact: bool = True  # only rounding may differ; else the accuracy alone is limited
    failures: tuple[str, ...] = ()
    divergence: Divergence | None = None

    @property
    def passed(self) -> bool:
        """Tell whether every limit was kept."""
        return not self.failures


@dataclass(frozen=True)
class Ladder:
    """The rungs in order; the first that failed is the one to mend."""

    rungs: tuple[Rung, ...]
    limits: Limits

    @property
    def failed(self) -> Rung | None:
        """Return the first rung that did not pass, or None."""
        return next((rung for rung in self.rungs if not rung.passed), None)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``proof.json`` holds."""
        rungs = [{**asdict(rung), "passed": rung.passed} for rung in self.rungs]
        return {"passed": self.failed is None, "limits": asdict(self.limits), "rungs": rungs}

    def rows(self) -> list[dict[str, object]]:
        """Return the rungs as a reader sees them, a row each."""
        return [
            {
                "from": rung.reference,
                "to": rung.candidate,
                "images": f"{rung.images:,}",
                "max diff": f"{rung.max_abs_diff:.2e}",
                "allowed": f"{self.limits.allowed_diff(rung.max_abs_logit):.2e}"
                if rung.exact
                else "",
                "mean diff": f"{rung.mean_abs_diff:.2e}",
                "agreement": f"{100 * rung.top1_agreement:.2f} %",
                "accuracy": f"{100 * rung.reference_accuracy:.2f} %",
                "accuracy after": f"{100 * rung.candidate_accuracy:.2f} %",
                "passed": "yes" if rung.passed else "NO",
            }
            for rung in self.rungs
        ]

    def metrics(self) -> dict[str, float]:
        """Return the figures under the names of a run's record, int8 ones with ``_int8``."""
        figures = ("max_abs_diff", "mean_abs_diff", "top1_agreement", "candidate_accuracy")
        found = {"parity/accuracy_pytorch": self.rungs[0].reference_accuracy}
        for rung in self.rungs:
            suffix = "_int8" if rung.name == "int8" else ""
            for figure in figures:
                name = figure.removeprefix("candidate_")
                found[f"parity/{name}{suffix}"] = getattr(rung, figure)
        return found


def compare(
    name: str,
    sides: tuple[str, str],
    reference: Logits,
    candidate: Logits,
    *,
    labels: Labels,
    limits: Limits,
    exact: bool,
) -> Rung:
    """Compare the logits ``[N, classes]`` of two sides, whose names are ``sides``, by ``limits``.

    Where the two should be ``exact`` but for rounding, all limits bind, else the accuracy alone.
    """
    apart = difference(reference, candidate)
    right = [float((logits.argmax(1) == labels).mean()) for logits in (reference, candidate)]
    return Rung(
        name,
        *sides,
        **asdict(apart),
        reference_accuracy=right[0],
        candidate_accuracy=right[1],
        exact=exact,
        failures=failures(apart, right[0] - right[1], limits, exact=exact),
    )


def failures(apart: Parity, drop: float, limits: Limits, *, exact: bool) -> tuple[str, ...]:
    """Say which limits a difference and a ``drop`` of accuracy (a share) break; see `compare`."""
    found = []
    if not np.isfinite(apart.max_abs_diff):
        found.append("the outputs are not finite")
    if exact:
        if apart.max_abs_diff > limits.allowed_diff(apart.max_abs_logit):
            found.append(_difference_over(apart, limits))
        if apart.top1_agreement < limits.min_agreement:
            found.append(f"agreement {apart.top1_agreement:.4f} < {limits.min_agreement:.4f}")
    allowed = limits.allowed_drop(apart.images)
    if drop > allowed + 1e-9:  # the difference of two shares is not exact
        found.append(f"accuracy drop {drop:.4f} > {allowed:.4f}")
    return tuple(found)


def _difference_over(apart: Parity, limits: Limits) -> str:
    """Say that logits differ too much, and what the limit is relative to."""
    said = f"max_abs_diff {apart.max_abs_diff:.3g} > {limits.allowed_diff(apart.max_abs_logit):.3g}"
    if apart.max_abs_logit <= 1 or not limits.max_abs_diff:
        return said
    return f"{said} ({limits.max_abs_diff:.3g} of the largest logit, {apart.max_abs_logit:.4g})"


def require_passed(*rungs: Rung) -> None:
    """Raise CheckFailed with the first rung that failed, its reasons and its diverging operator."""
    for rung in rungs:
        if not rung.passed:
            reasons = "; ".join(rung.failures)
            raise CheckFailed(
                f"the rung from {rung.reference} to {rung.candidate} failed: {reasons}",
                *([str(rung.divergence)] if rung.divergence else []),
            )


def run_ladder(
    model: torch.nn.Module,
    float_model: onnx.ModelProto,
    int8_model: onnx.ModelProto | None,
    *,
    pixels: Pixels,
    labels: Labels,
    preprocessing: Preprocessing,
    limits: Limits,
) -> Ladder:
    """Compare ``model`` with its ONNX files on ``pixels`` ``[N, C, H, W]`` with ``labels`` [N].

    ``preprocessing`` is the run's own; the files are fed by theirs. A failed rung carries the
    first operator whose output diverges.
    """
    softmax = float_model.graph.output[0].name == "probabilities"
    trained = _logits(lambda images: _torch(model, images, softmax), pixels, preprocessing)
    own = Preprocessing.of(float_model) or preprocessing
    single = _logits(lambda images: onnx_logits(float_model, images), pixels, own)
    sides = ("PyTorch float32", "ONNX float32")
    rung = compare("onnx", sides, trained, single, labels=labels, limits=limits, exact=True)
    if not rung.passed:
        worst = pixels[_furthest(trained, single)]
        inputs = preprocessing.apply(worst), own.apply(worst)
        found = torch_divergence(model, float_model, *inputs)
        rung = replace(rung, divergence=found)
    rungs = [rung]
    if int8_model is not None:
        own8 = Preprocessing.of(int8_model) or own
        small = _logits(lambda images: onnx_logits(int8_model, images), pixels, own8)
        sides = ("ONNX float32", "ONNX int8")
        rung = compare("int8", sides, single, small, labels=labels, limits=limits, exact=False)
        if not rung.passed:
            worst = pixels[_furthest(single, small)]
            inputs = own.apply(worst), own8.apply(worst)
            found = onnx_divergence(float_model, int8_model, *inputs)
            rung = replace(rung, divergence=found)
        rungs.append(rung)
    return Ladder(tuple(rungs), limits)


def _logits(
    infer: Callable[[Images], Logits], pixels: Pixels, preprocessing: Preprocessing
) -> Logits:
    """Infer in chunks, so that the float32 form of a whole split is never in memory."""
    starts = range(0, len(pixels), CHUNK)
    return np.concatenate([infer(preprocessing.apply(pixels[i : i + CHUNK])) for i in starts])


def _torch(model: torch.nn.Module, images: Images, softmax: bool) -> Logits:
    import torch

    logits = torch.from_numpy(torch_logits(model, torch.from_numpy(images)))
    found: Logits = (torch.softmax(logits, 1) if softmax else logits).numpy()
    return found


def _furthest(reference: Logits, candidate: Logits) -> npt.NDArray[np.int64]:
    """Return the images whose outputs differ most, NaN first."""
    apart = np.nan_to_num(np.abs(reference - candidate), nan=np.inf).max(axis=1)
    return np.argsort(-apart, kind="stable")[:SEARCHED]
