"""What the garbage collector is spared: state that is built at once and stays for long.

Restored windows and ledgers are millions of objects without cycles. The collector would walk over all that is there
already again and again while they are built, and later at each of its full rounds, which stops every stage of the
process.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 100_000
"""Objects from which on built state is left out of the collector's rounds: it walks over fewer in milliseconds."""


@contextmanager
def building_state() -> Iterator[None]:
    """Let the collector rest inside, and leave what is there in the end out of its rounds, if much was built.

    What goes later is freed as ever, when nothing refers to it any more.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    before = gc.get_count()[0]
    try:
        yield
    finally:
        if gc.get_count()[0] - before >= LARGE:  # it goes on counting what was made and not freed
            gc.freeze()
        if was_enabled:
            gc.enable()
