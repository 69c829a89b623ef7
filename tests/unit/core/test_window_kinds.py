"""The promise about kinds of windows: each that a trigger can name is one object, under its own name."""

from __future__ import annotations

from typing import get_args

from bridge.core.trigger import WindowKind
from bridge.core.windows.kinds.all_kinds import KINDS
from bridge.triggers.model import WindowPart


def test_each_kind_that_a_trigger_can_name_has_its_rules() -> None:
    assert tuple(KINDS) == get_args(WindowKind)
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}
    assert set(KINDS) <= set(WindowPart.model_fields)
