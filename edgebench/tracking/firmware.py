"""What was compiled and measured of a run's firmware, on that run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgebench.metrics import METRICS, Dtype, in_dtype
from edgebench.tracking import runs
from edgebench.tracking.reading import find_run

if TYPE_CHECKING:
    import onnx

    from edgebench.export import Images
    from edgebench.firmware import Measurement

CPU = "cortex-m4"
"""What the firmware of a hand-over is measured on; its C is for every processor."""
PROVENANCES = {
    "firmware/rom_bytes": "compiled",
    "firmware/ram_bytes": "compiled",
    "firmware/instructions": "measured",
    "firmware/instructions_per_mac": "measured",
}
"""Where each figure is from: the sections of an ELF file, or its run in the emulator."""


def handed_firmware(
    model: onnx.ModelProto, images: Images, name: str
) -> tuple[Measurement, dict[str, str]]:
    """Return what was measured of a model's firmware, and the texts of its folder by name.

    Args:
        model: With its weights.
        images: Inputs to compare on, of which the first become golden vectors.
        name: What the measurement calls the model.

    Raises:
        CheckFailed: An operator has no generator, or outputs are not ONNX Runtime's.
        EdgebenchError: No compiler or emulator.
    """
    from edgebench.firmware import files, measure_program, of_model, write_program

    found = of_model(model, images, name)
    program = write_program(found.profile, found.constants)
    measured = measure_program(
        program, images, found.expected, spread=found.spread, cpu=CPU, model=name
    )
    measured.require_equal()
    return measured, files(program, measured.as_dict(), images, found.expected)


def record_firmware(
    run: str, measurement: Measurement, *, tracking_uri: str | None = None
) -> dict[str, float]:
    """Write the figures of a run's firmware to it, and return them; former ones are replaced.

    Each has a tag ``NAME.provenance``; the tag ``firmware.build`` (``firmware_int8.build``) says
    which plan, processor, compiler and emulator they are of, and the artifact
    ``firmware/DTYPE.json`` has the whole measurement. What ran on this machine alone has none.

    Args:
        run: A run id, ``STUDY:NUMBER`` or ``STUDY:best``.
        measurement: What `edgebench.firmware.measure_program` returned.
        tracking_uri: The record; ``mlruns/`` by default.

    Raises:
        EdgebenchError: No such run.
    """
    client = runs.reader(tracking_uri)
    run_id = find_run(client, run).info.run_id
    dtype: Dtype = "int8" if measurement.dtype == "int8" else "float32"
    figures, tags = {}, {}
    for metric, provenance in PROVENANCES.items():
        value = getattr(measurement, METRICS[metric].key)
        if value is None:
            return {}
        name = in_dtype(metric, dtype)
        figures[name] = value
        tags[f"{name}.provenance"] = provenance
    build = (measurement.cpu, measurement.compiler, measurement.emulator)
    suffix = "_int8" if dtype == "int8" else ""
    tags[f"firmware{suffix}.build"] = ", ".join((f"{measurement.plan} plan", *map(str, build)))
    client.log_dict(run_id, measurement.as_dict(), f"firmware/{dtype}.json")
    runs.write(client, run_id, runs.metrics_of(figures), tags=runs.tags_of(tags))
    return figures
