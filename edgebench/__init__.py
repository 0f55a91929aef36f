"""EdgeBench finds the best image classifier that fits an edge device.

Search small CNNs under a flash and RAM budget, train, export to ONNX with proof, and read the
exact cost on a microcontroller. Start with ``edgebench sweep sweeps/quickstart.yaml``, or in a
notebook:

>>> import edgebench
>>> edgebench.profile("gap", options={"width": 32}).rom_bytes
392992
>>> sweep = edgebench.load_sweep("sweeps/quickstart.yaml", {"run_cap": 3})
>>> record = edgebench.run_sweep(sweep)  # doctest: +SKIP
>>> record.to_pandas()  # doctest: +SKIP

The names of ``__all__`` are the library's face: stable, and what the command line calls. Importing
edgebench imports nothing else; each function imports what it needs when it is called.
"""

from __future__ import annotations

from types import ModuleType

from edgebench.errors import EdgebenchError

TYPE_CHECKING = False  # as type checkers read it; importing `typing` would cost more than the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Any

    import onnx
    from torch import nn

    from edgebench import export
    from edgebench.footprint import CONVENTIONS, Footprint, Target
    from edgebench.metrics import Dtype
    from edgebench.profiling import Profile
    from edgebench.record import Scalar, StudyRecord
    from edgebench.search import Event
    from edgebench.space import Sweep
    from edgebench.tracking import ExportedRun

__all__ = [
    "CONVENTIONS",
    "EdgebenchError",
    "export",
    "load_sweep",
    "profile",
    "read_study",
    "run_sweep",
]


def profile(
    model: str | Path | onnx.ModelProto | nn.Module,
    convention: str = "st",
    target: str | Path | Target | None = None,
    input: tuple[int, ...]  # noqa: A002 - the option's name
    | str
    | Mapping[str, tuple[int, ...] | None]
    | None = None,
    *,
    options: Mapping[str, Scalar] | None = None,
    classes: int | None = None,
    softmax: bool = False,
    dtype: Dtype | None = None,
    allow_unknown: bool = False,
    tracking_uri: str | None = None,
) -> Footprint:
    """Return what a model costs on a device; nothing is trained.

    >>> footprint = profile("gap", target="stm32f746g-disco", input="3x32x32")
    >>> footprint.parameters, footprint.rom_bytes, footprint.target.fits
    (373386, 1508384, False)

    Args:
        model: An ONNX file or model, a hand-over's folder, a run (its id, ``STUDY:NUMBER``,
            ``STUDY:best``), the name of a family, or a PyTorch module (which needs ``input``).
        convention: How to count: one of ``CONVENTIONS``.
        target: A listed board, a YAML file, or a `Target`; the result then has ``.target.fits``.
        input: C, H, W of a family (default 3x32x32) or a module, or the sizes that an ONNX file
            leaves open, as in ``(3, 32, 32)`` or ``"3x32x32"``; of a file with several inputs, the
            shape of each by name, None where it is to be a constant.
        options: Of a family, as in ``{"width": 32}``.
        classes: Of a family; 10 by default.
        softmax: End a family's network in a softmax.
        dtype: Of a run, a hand-over or a family: ``"float32"`` or ``"int8"``; of a run, by default
            what its study deploys.
        allow_unknown: Accept operators without a rule: the figures are then a lower bound, and
            ``.unknown`` names the operators.
        tracking_uri: Where runs are; ``mlruns/`` by default.

    Returns:
        A `Footprint`, whose attributes are named as the keys of ``profile --format json`` and whose
        figures are ints of bytes and operations; ``.as_dict()`` is that JSON object.

    Raises:
        EdgebenchError: Nothing has that name, or an option does not suit what was named.
        CheckFailed: An operator has no rule, and ``allow_unknown`` is not set.
    """
    from edgebench.footprint import CONVENTIONS, Target, load_target, measure, require_known

    CONVENTIONS[convention]  # an unknown name is refused before anything is read
    board = target if target is None or isinstance(target, Target) else load_target(target)
    name, found = _read(
        model,
        input,
        options=options or {},
        classes=classes,
        softmax=softmax,
        dtype=dtype,
        tracking_uri=tracking_uri,
    )
    footprint = measure(found, convention, model=name, target=board)
    if not allow_unknown:
        require_known(footprint)
    return footprint


def load_sweep(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Sweep:
    """Read and validate a sweep file.

    >>> sweep = load_sweep("sweeps/quickstart.yaml", {"run_cap": 3, "train.epochs": 1})
    >>> sweep.name, sweep.run_cap
    ('quickstart', 3)

    Args:
        path: The YAML file.
        overrides: Replaces parts of the file before it is validated: a parameter by its name
            (``model.width``, a value or an axis), anything else by its key (``run_cap``,
            ``dataset``, ``budget.target``, ``export.int8``).

    Raises:
        EdgebenchError: All mistakes of the file at once, each with its path.
    """
    from pathlib import Path

    from edgebench import space

    return space.load(Path(path), overrides)


def run_sweep(
    sweep: Sweep,
    *,
    workers: int = 1,
    pool: str = "local",
    device: str = "auto",
    data_dir: str | Path = "data",
    storage: str | None = None,
    tracking_uri: str | None = None,
    timeout: float | None = None,
    gpus_per_trial: float | None = None,
    observe: Callable[[Event], None] | None = None,
) -> StudyRecord:
    """Run or continue the study of a sweep, and return its record; nothing is printed.

    >>> record = run_sweep(load_sweep("my.yaml"), workers=2)  # doctest: +SKIP
    >>> [row.name for row in record.front()]  # doctest: +SKIP

    The same call continues a study that was cut off. A script that registers members of its own,
    such as a family, calls this under ``if __name__ == "__main__":``: the workers import it too.

    Args:
        sweep: What is searched.
        workers: Trials at once; the cores are divided among them.
        pool: Where they run: a kind, as in ``local``, or ``KIND://ADDRESS``.
        device: ``auto``, ``cpu`` or ``cuda``.
        data_dir: Where archives and decoded images are kept.
        storage: Optuna's store; ``mlruns/optuna.db`` by default.
        tracking_uri: MLflow's store; ``mlruns/mlflow.db`` by default.
        timeout: Seconds after which no trial begins.
        gpus_per_trial: The share of a GPU that each trial has, on a Ray cluster.
        observe: Is called with each `Event`: a trial started, an epoch of it, its end.

    Raises:
        EdgebenchError: The data cannot be read, the study holds another search, or another
            process is running it.
        KeyboardInterrupt: Passed on after the running trials have been closed.
    """
    from pathlib import Path

    from edgebench.record import MLFLOW_STORE, OPTUNA_STORE
    from edgebench.search import Settings, search

    settings = Settings(
        storage=storage or OPTUNA_STORE,
        tracking_uri=tracking_uri or MLFLOW_STORE,
        data_dir=Path(data_dir),
        workers=workers,
        pool=pool,
        device=device,
        timeout=timeout,
        gpus_per_trial=gpus_per_trial,
    )
    return search(sweep, settings, observe or _nobody)


def read_study(name: str, *, tracking_uri: str | None = None, details: bool = False) -> StudyRecord:
    """Read a study back from the record.

    >>> read_study("quickstart").to_pandas()  # doctest: +SKIP

    Args:
        name: The study's, which is its sweep's.
        tracking_uri: MLflow's store; ``mlruns/mlflow.db`` by default.
        details: Also read each trial's curves and layers: one small file a trial.

    Raises:
        EdgebenchError: There is no such store or study.
    """
    from edgebench import tracking

    return tracking.read_study(name, tracking_uri=tracking_uri, details=details)


class ExportRoom(ModuleType):
    """The room ``edgebench.export``, which called is the library's function of its name."""

    def __call__(self, run: str, path: str | Path, **options: Any) -> ExportedRun:
        """Export a run to ONNX, prove that it gives the network's answers, and write it if so.

        >>> exported = edgebench.export("quickstart:best", "model.onnx", int8=True)
        ... # doctest: +SKIP
        >>> exported.written  # doctest: +SKIP
        (PosixPath('model.proof.json'), PosixPath('model.onnx'))

        Args:
            run: A run id, ``STUDY:NUMBER`` or ``STUDY:best``.
            path: A file that ends in ``.onnx``, beside which ``.proof.json`` is written, or a
                folder for the whole hand-over: both models, golden vectors, proof, model card.
            options: Those of ``edgebench export``, by the same names: ``int8``, ``opset``,
                ``softmax``, ``force``, ``split``, ``dataset``, ``data_dir``, ``tracking_uri``; all
                are in `edgebench.tracking.export_run`.

        Returns:
            What was written, and the proof as ``proof.json`` holds it.

        Raises:
            EdgebenchError: An option, the run, its images or the path is not valid.
            CheckFailed: The models differ; nothing is written.
        """
        from edgebench.tracking import export_run

        return export_run(run, path, **options)


def _read(
    model: str | Path | onnx.ModelProto | nn.Module,
    inputs: tuple[int, ...] | str | Mapping[str, tuple[int, ...] | None] | None,
    *,
    options: Mapping[str, Scalar],
    classes: int | None,
    softmax: bool,
    dtype: Dtype | None,
    tracking_uri: str | None,
) -> tuple[str | None, Profile]:
    """Return the name and the operators of whatever names a model, or is one."""
    import os

    import onnx

    from edgebench import profiling
    from edgebench.export import input_shapes, profile_named, untrained_graph

    def fetch(run: str, dtype: Dtype | None) -> Path:
        from edgebench.tracking import fetch_onnx

        return fetch_onnx(run, dtype, tracking_uri=tracking_uri)

    image, named = input_shapes((inputs,)) if isinstance(inputs, str) else (None, {})
    if isinstance(inputs, tuple):
        image = inputs
    elif inputs is not None and not isinstance(inputs, str):
        named = inputs
    if isinstance(model, str | os.PathLike):
        return str(model), profile_named(
            str(model),
            fetch,
            dtype=dtype,
            options=options,
            image=image,
            inputs=named,
            classes=classes,
            softmax=softmax,
        )
    if isinstance(model, onnx.ModelProto):
        return None, profiling.profile(model, input_shape=image, inputs=named)
    if image is None or len(image) != 3:
        raise EdgebenchError("a PyTorch module needs input, as in input=(3, 32, 32)")
    channels, height, width = image
    graph = untrained_graph(model, (channels, height, width), softmax=softmax)
    return type(model).__name__, profiling.profile(graph)


def _nobody(event: Event) -> None:
    """Show nothing."""


def __getattr__(name: str) -> Any:
    """Look up what costs an import: the conventions, and the version, when they are asked for."""
    if name == "CONVENTIONS":
        from edgebench.footprint import CONVENTIONS

        return CONVENTIONS
    if name == "export":  # the room, which is callable
        from importlib import import_module

        return import_module("edgebench.export")
    if name == "__version__":
        from importlib.metadata import version

        return version("edgebench")
    raise AttributeError(f"module 'edgebench' has no attribute '{name}'")


def __dir__() -> list[str]:
    """List the face, for those who complete names."""
    return [*__all__, "__version__"]
