"""How long something may take, where other processes run beside the tests."""

import contextlib
import os
from collections.abc import Iterator

# Seconds of the clock until what is waited for counts as lost: a worker imports PyTorch beside
# other tests.
PATIENCE = 240.0


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where the block needs more processor time than that, its ended children's included.

    Not the clock's time: a machine that does other things stretches that tenfold.
    """
    begin = sum(os.times()[:4])  # of this process and its children, in the program and the system
    yield
    used = sum(os.times()[:4]) - begin
    assert used < seconds, f"took {used:.2f} s of processor time, at most {seconds:g} s"
