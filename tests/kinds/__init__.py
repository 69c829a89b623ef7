"""The kinds of windows as tests know them: one module a kind, which all users read from :data:`KINDS`.

=====================  ==============================================================================================
``reference``          tests/unit/core/windows and the simulation's reference matcher
``pages``              tests/unit/core/windows/test_windows_by_the_docs.py
``plans``              the random sequences of tests/unit/core/windows/sequences.py
``conditions``         tests/simulation/random_triggers.py
``scenes``, ``band``   tests/drawings
``constructs``         tests/e2e/test_constructs.py
``measured``           tests/bench/kinds.py
``stories``            tests/unit/stages/matcher/test_windows_of_each_kind.py
=====================  ==============================================================================================
"""

from __future__ import annotations

from bridge.core.trigger import Trigger, WindowKind
from kinds import batch, every, session, settle, until, within
from kinds.kind import Kind
from kinds.reference import Reference

KINDS: dict[WindowKind, Kind] = {
    kind.name: kind for kind in (within.KIND, every.KIND, until.KIND, session.KIND, batch.KIND, settle.KIND)
}
"""All kinds, in the order of the bridge's own."""


def reference_of(trigger: Trigger, bound: int = 10_000, most: int = 1_000_000) -> Reference:
    """Return the naive rules of a trigger with a window, which hold nothing yet."""
    assert trigger.window is not None
    return KINDS[trigger.window.kind].reference(trigger, bound, most)
