"""The promises about kinds of windows: each that a trigger can name is one object, and no test passes one over."""

from __future__ import annotations

from bridge.core.windows.kinds.all_kinds import KINDS
from bridge.triggers.model import WindowPart
from kinds import KINDS as TESTED


def test_each_kind_that_a_trigger_can_name_has_its_rules() -> None:
    modifiers = {"timezone", "offset", "max_wait", "reset"}
    assert set(KINDS) == set(WindowPart.model_fields) - modifiers
    assert {name: kind.name for name, kind in KINDS.items()} == {name: name for name in KINDS}


def test_tests_cover_exactly_the_kinds_that_there_are() -> None:
    assert tuple(TESTED) == tuple(KINDS)
    for kind in TESTED.values():
        assert kind.conditions
        assert kind.scenes
        assert kind.measured
        assert kind.stories


def test_a_kind_takes_in_tests_what_it_takes_in_the_bridge() -> None:
    for name, kind in KINDS.items():
        tested = TESTED[name]
        assert (tested.takes_absent, tested.takes_only_absent) == (kind.takes_absent, kind.takes_only_absent)
        assert tested.takes_all == kind.closes
        assert (tested.band is None) == kind.takes_only_absent
