"""From a run of the record to files that are handed over, with the proof that they are it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgebench import export
from edgebench.errors import CheckFailed, EdgebenchError
from edgebench.export import Calibration, LabelledImages, Ladder, Limits, Proven, Request
from edgebench.tracking.firmware import CPU, handed_firmware, record_firmware
from edgebench.tracking.openings import open_test_split
from edgebench.tracking.proofs import record_handover, record_proof
from edgebench.tracking.reading import experiment_id_of, fetch_run
from edgebench.tracking.runs import reader
from edgebench.tracking.saved import dataset_of, model_of, origin_of, preprocessing_of

if TYPE_CHECKING:
    from edgebench.data import Split as ImagesOfSplit
    from edgebench.export import Images
    from edgebench.metrics import Dtype
    from edgebench.tracking.reading import SavedRun

Split = Literal["validation", "test"]
SPLITS: tuple[Split, ...] = ("validation", "test")
PARITY = Limits()
IMAGES = 100
"""Images that the firmware is compared with ONNX Runtime on."""


@dataclass(frozen=True)
class ExportedRun:
    """What became of an export: the proof as ``proof.json`` holds it, and what was written.

    ``proof["ladder"]`` has the comparisons, ``proof["int8"]`` how the int8 model was made (None
    without one). ``written`` is empty where a rung failed.
    """

    run_id: str
    ladder: Ladder
    proof: Mapping[str, Any] = field(repr=False)
    written: tuple[Path, ...] = ()


class ParityFailed(CheckFailed):
    """A rung of the ladder failed, so nothing was written; ``exported`` has its figures."""

    def __init__(self, failure: CheckFailed, exported: ExportedRun) -> None:
        super().__init__(*failure.mistakes, "nothing was written")
        self.exported = exported


def export_run(
    run: str,
    path: str | Path,
    *,
    int8: bool = False,
    opset: int = 18,
    softmax: bool = False,
    force: bool = False,
    split: Split = "validation",
    dataset: str | None = None,
    data_dir: Path | None = None,
    tracking_uri: str | None = None,
    limits: Limits = PARITY,
    calibration: str | Calibration = "auto",
    calibration_count: int = export.COUNT,
    sign: Path | None = None,
    firmware: bool = False,
) -> ExportedRun:
    """Export a run to ONNX, compare it with PyTorch on its own images, and write it if it passes.

    The figures go to the run as metrics and ``proof.json``, passed or not.

    Args:
        run: A run id, ``STUDY:NUMBER`` or ``STUDY:best``.
        path: A file that ends in ``.onnx``, beside which ``.proof.json`` is written, or a folder
            for the whole hand-over: both models, golden vectors, proof and model card.
        int8: Write the int8 model to the file; a folder has both.
        opset: 18 to 22.
        softmax: End in probabilities instead of logits.
        force: Replace a hand-over that is in the folder.
        split: The images that are compared on; ``test`` opens the test split.
        dataset: Where the run's images are on this machine, if not where it was trained on them.
        data_dir: Where downloaded archives and decoded images are kept.
        tracking_uri: The record; ``mlruns/`` by default.
        limits: What a rung may differ by.
        calibration: ``auto`` (the most accurate candidate on the validation split), the name of
            one candidate, or a setting of one's own.
        calibration_count: How many training images int8 is calibrated on.
        sign: A file with a private Ed25519 key that signs the proof of a folder.
        firmware: The folder also has the C of the model, compiled and measured: of the int8 model
            with ``int8``, else of the one that the run's study deploys.

    Raises:
        EdgebenchError: An option, the run, its images or the path is not valid; nothing is written.
        ParityFailed: A rung failed; a `CheckFailed` that carries the `ExportedRun`.
        CheckFailed: An operator has no generator, or the firmware's outputs are others.
    """
    output = Path(path)
    folder = output.suffix != ".onnx"
    settings = _settings(calibration)
    request = Request(opset, softmax, int8 or folder, settings, calibration_count, limits)
    _check_output(output, split, force=force)
    signer = _signer(sign, output)
    if firmware:
        _check_firmware(output)
    saved = fetch_run(run, tracking_uri=tracking_uri)
    images = dataset_of(saved, dataset, data_dir)
    model, preprocessing = model_of(saved), preprocessing_of(saved)
    if split == "test":
        client, study = reader(tracking_uri), experiment_id_of(saved.study, tracking_uri)
        opening = open_test_split(client, study, "export", {"run_id": saved.run_id})
        evaluation = _labelled(images.open_test(opening))
    else:
        evaluation = _labelled(images.validation)
    proven = export.prove(
        model,
        preprocessing,
        request,
        train=_labelled(images.train_centre),
        validation=_labelled(images.validation),
        evaluation=evaluation,
    )
    origin = origin_of(saved, images)
    proof = export.statement(proven, preprocessing, run=origin, split=split)
    record_proof(saved.run_id, proven.ladder, proof, tracking_uri=tracking_uri)
    try:
        export.require_passed(*proven.ladder.rungs)
    except CheckFailed as failure:
        raise ParityFailed(failure, ExportedRun(saved.run_id, proven.ladder, proof)) from None
    if folder:
        vectors = export.golden_vectors(model, proven, preprocessing, evaluation)
        texts: Mapping[str, str] = {}
        if firmware:
            dtype: Dtype = "int8" if int8 else saved.deployed
            chosen = export.evenly_spaced(len(evaluation.pixels), IMAGES)
            inputs = preprocessing.apply(evaluation.pixels[chosen])
            texts = _firmware(saved, proven, dtype, inputs, tracking_uri)
        bundle = export.Bundle.of(proven, vectors, proof, texts)
        record_handover(saved.run_id, bundle.digests(), tracking_uri=tracking_uri)
        export.write(output, bundle, force=force, sign=signer)
        written: tuple[Path, ...] = (output,)
    else:
        written = _write_file(output, proven, proof)
    return ExportedRun(saved.run_id, proven.ladder, proof, written)


def _check_firmware(output: Path) -> None:
    """Refuse a firmware that could not be written or measured, before anything is loaded."""
    if output.suffix == ".onnx":
        raise EdgebenchError(
            f"--firmware is a part of a hand-over, and '{output}' is one file; give a folder"
        )
    from edgebench.firmware import require_tools

    require_tools(CPU)


def _firmware(
    saved: SavedRun, proven: Proven, dtype: Dtype, inputs: Images, tracking_uri: str | None
) -> Mapping[str, str]:
    """Return the texts of a run's firmware, measured; the figures go to the run."""
    small = proven.choice.model if proven.choice else proven.float_model
    model = small if dtype == "int8" else proven.float_model
    measurement, texts = handed_firmware(model, inputs, saved.name)
    record_firmware(saved.run_id, measurement, tracking_uri=tracking_uri)
    return texts


def _signer(key: Path | None, output: Path) -> Callable[[bytes], bytes] | None:
    """Return what signs a folder's proof, where that is asked for."""
    if key is not None and output.suffix == ".onnx":
        raise EdgebenchError(f"--sign signs a hand-over, and '{output}' is one file; give a folder")
    return None if key is None else export.signer(key)


def _settings(calibration: str | Calibration) -> Mapping[str, Calibration]:
    """Return the int8 candidates that are asked for, by name."""
    if isinstance(calibration, Calibration):
        return {calibration.method: calibration}
    return export.candidates(calibration)


def _check_output(output: Path, split: str, *, force: bool) -> None:
    """Refuse a place that cannot be written to, before anything is loaded."""
    if split not in SPLITS:
        raise EdgebenchError(f"the split must be {' or '.join(SPLITS)}, but got '{split}'")
    if output.suffix != ".onnx":
        export.check_free(output, force=force)
    elif not output.absolute().parent.is_dir():
        raise EdgebenchError(f"there is no folder '{output.parent}' to write '{output.name}' in")


def _labelled(images: ImagesOfSplit) -> LabelledImages:
    return LabelledImages(images.images.numpy(), images.labels.numpy())


def _write_file(output: Path, proven: Proven, proof: Mapping[str, Any]) -> tuple[Path, ...]:
    """Write the proof and then the model beside it, each whole or not at all."""
    model = proven.choice.model if proven.choice else proven.float_model
    content = export.serialize(model)
    beside = output.with_suffix(".proof.json")
    export.write_atomically(beside, export.proof_bytes(proof, {output.name: content}))
    export.write_atomically(output, content)
    return output, beside
