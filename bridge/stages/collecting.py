"""What the garbage collector is spared: state that is built at once and stays for long.

Restored windows and ledgers are millions of objects without cycles. The collector would walk over all that is there
already again and again while they are built, and later at each of its full rounds, which stops every stage of the
process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def building_state() -> Iterator[None]:
    """Let the collector rest inside, and leave what is there in the end out of its rounds.

    What goes later is freed as ever, when nothing refers to it any more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
