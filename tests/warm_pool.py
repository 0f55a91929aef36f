"""A pool for tests of studies: the local one's processes, kept from one study to the next.

A study of seconds would else spend most of them on the workers' import of PyTorch. What a test
says of the local pool's own beginning and end, it says with ``--pool local``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import tempfile
from pathlib import Path
from typing import Self

from edgebench.search.pools import POOLS
from edgebench.search.pools.local import LocalPool


class WarmPool(LocalPool):
    """Opened once; closing it ends only what is under way."""

    _open = False

    def __enter__(self) -> Self:
        """Start the processes, the first time."""
        if not self._open:
            super().__enter__()
            self._open = True
            atexit.register(super().__exit__)
        return self

    def __exit__(self, *_: object) -> None:
        """Cancel what is under way; its process is started anew when it is needed."""
        for place in self._places:
            if place.task is not None:
                self.cancel(place.task)


@functools.cache
def _kept(workers: int, device: str) -> WarmPool:
    folder = contextlib.ExitStack()
    atexit.register(folder.close)
    data = Path(folder.enter_context(tempfile.TemporaryDirectory()))
    return WarmPool(workers, device=device, data_dir=data)


@POOLS.register
def warm(address: str, *, workers: int, device: str, data_dir: Path) -> WarmPool:  # noqa: ARG001 - every pool's signature
    """Processes of this machine that outlive a study, with a data folder of their own."""
    return _kept(workers, device)
