"""All kinds of windows, by name."""

from __future__ import annotations

from bridge.core.trigger import Trigger, WindowKind
from bridge.core.windows.kinds.batch import Batch
from bridge.core.windows.kinds.calendar import Every, Until
from bridge.core.windows.kinds.kind import Kind
from bridge.core.windows.kinds.session import Session
from bridge.core.windows.kinds.settle import Settle
from bridge.core.windows.kinds.within import Within

KINDS: dict[WindowKind, Kind] = {kind.name: kind for kind in (Within(), Every(), Until(), Session(), Batch(), Settle())}
"""The kinds, in the order in which messages list them."""


def kind_of_window(trigger: Trigger) -> Kind:
    """Return the kind of a trigger's window; ``within`` for a trigger of which each event is a match."""
    return KINDS["within" if trigger.window is None else trigger.window.kind]
