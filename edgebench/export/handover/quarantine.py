"""Runs models that nobody vouches for, in a process of its own with little memory and time.

A file may loop, ask for more memory than there is, or find a fault in ONNX Runtime: then this
process dies and the caller hears of it in one line.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from edgebench.errors import EdgebenchError
from edgebench.export.inference import Images, Logits

MEMORY = 1536 * 2**20
"""Bytes that the process may allocate."""
CPU_SECONDS = 8
"""Processor time of the process; a hand-over's sixteen images take a network of a device less."""
LONGEST_LINE = 4096
WALL_SECONDS = 120
"""Beside other work; a process that waits for something uses no processor time."""


@dataclass(frozen=True)
class Answer:
    """What a model says to the golden vectors.

    ``inputs`` are the pixels as the model's own metadata normalize them, or None where it carries
    no preprocessing and was given the inputs of the vectors.
    """

    inputs: Images | None
    logits: Logits


def answers(
    models: Mapping[str, bytes], pixels: npt.NDArray[np.uint8], inputs: Images
) -> dict[str, Answer]:
    """Run each of ``models`` on the vectors, one after another.

    Raises:
        EdgebenchError: One cannot be run, or not within the bounds; it is named.
    """
    head = {"models": [len(content) for content in models.values()], "shape": pixels.shape}
    request = b"".join(
        [json.dumps(head).encode() + b"\n", pixels.tobytes(), inputs.tobytes(), *models.values()]
    )
    program = f"import sys; from {__name__} import main; main()"
    command = [sys.executable, "-P", "-c", program]  # -P: the folder it is called in is no library
    path = os.pathsep.join(one for one in sys.path if one)
    environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(  # noqa: S603 - this program itself
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:  # fmt: skip
        try:
            said, _ = process.communicate(request, timeout=WALL_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            said, _ = process.communicate()
    return _read(memoryview(said), list(models), process.returncode, pixels.shape)


def _read(
    said: memoryview, names: list[str], status: int, shape: tuple[int, ...]
) -> dict[str, Answer]:
    """Take the answers apart: of each model a line of JSON, then the arrays that it announces."""
    found: dict[str, Answer] = {}
    for name in names:
        line, ended, _ = bytes(said[:LONGEST_LINE]).partition(b"\n")
        said = said[len(line) + 1 :]
        head = json.loads(line) if ended else {}
        if len(said) < head.get("bytes", 1):
            raise EdgebenchError(f"{name} is no model that can be run: {_death(status)}")
        if "error" in head:
            raise EdgebenchError(f"{name} is no model that ONNX Runtime can run: {head['error']}")
        own, said = _take(said, shape) if head["own"] else (None, said)
        logits, said = _take(said, tuple(head["logits"]))
        found[name] = Answer(own, logits)
    return found


def _take(said: memoryview, shape: tuple[int, ...]) -> tuple[npt.NDArray[np.float32], memoryview]:
    size = 4 * prod(shape)
    return np.frombuffer(said[:size], np.float32).reshape(shape), said[size:]


def _death(status: int) -> str:
    """Say how the process ended that was running the model."""
    if status in (-9, -24):  # SIGKILL, SIGXCPU
        return f"it takes more than {CPU_SECONDS} s or {MEMORY / 2**20:,.0f} MiB"
    return f"ONNX Runtime ended by signal {-status}" if status < 0 else "it cannot be loaded"


# In the process of its own -----------------------------------------------------------------------


def main() -> None:
    """Answer one request, from the standard input to the standard output."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # nothing else gets between the answers
    _limit()
    head = json.loads(source.readline())
    shape = tuple(head["shape"])
    pixels = np.frombuffer(source.read(prod(shape)), np.uint8).reshape(shape)
    inputs = np.frombuffer(source.read(4 * prod(shape)), np.float32).reshape(shape)
    for size in head["models"]:
        for part in _answered(source.read(size), pixels, inputs):
            sink.write(part)
        sink.flush()


def _limit() -> None:
    """Bound memory and processor time, where the system can."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answered(content: bytes, pixels: npt.NDArray[np.uint8], inputs: Images) -> Iterator[bytes]:
    """Yield the answer of one model: the line, then the arrays."""
    try:
        own, logits = _run(content, pixels, inputs)
    except Exception as error:  # noqa: BLE001 - ONNX Runtime's have no common base class
        said = " ".join(str(error).split()) or type(error).__name__
        yield json.dumps({"error": said[:300], "bytes": 0}).encode() + b"\n"
        return
    arrays = b"" if own is None else own.astype(np.float32).tobytes()
    arrays += logits.tobytes()
    head = {"own": own is not None, "logits": logits.shape, "bytes": len(arrays)}
    yield json.dumps(head).encode() + b"\n"
    yield arrays


def _run(
    content: bytes, pixels: npt.NDArray[np.uint8], inputs: Images
) -> tuple[Images | None, Logits]:
    import onnx

    from edgebench.export.inference import session
    from edgebench.export.preprocessing import Preprocessing

    preprocessing = Preprocessing.of(onnx.load_from_string(content))
    own = None if preprocessing is None else preprocessing.apply(pixels)
    if own is not None and own.shape != pixels.shape:
        raise ValueError("its mean and deviation are not those of its channels")
    running = session(content, threads=1)
    sources = running.get_inputs()
    if len(sources) != 1:
        raise ValueError(f"it has {len(sources)} inputs and should have one")
    given = inputs if own is None else own
    logits = running.run(None, {sources[0].name: given})[0]
    if not isinstance(logits, np.ndarray) or logits.dtype != np.float32 or logits.ndim != 2:
        raise ValueError("its output is no float32 logits of images")
    return own, logits
