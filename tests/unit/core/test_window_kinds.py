"""The promise about kinds of windows: each that a trigger can name is one object, under its own name."""

from __future__ import annotations

from bridge.core.windows.kinds.all_kinds import KINDS
from bridge.triggers.model import WindowPart

MODIFIERS = {"timezone", "offset", "max_wait", "reset"}


def test_each_kind_that_a_trigger_can_name_has_its_rules() -> None:
    assert set(WindowPart.model_fields) - MODIFIERS == set(KINDS)
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
