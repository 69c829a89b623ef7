"""The hashes of definitions outlive releases: windows and arrivals of the version before belong to them."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bridge.core.runs.identity import run_key_of, workflow_name
from bridge.core.trigger import RunPlan, Slot, Trigger, later
from bridge.triggers.resources import read_text

# Written by version 0.1.0 (a5d033a) for the triggers of its documentation: every kind of window, limits, keys.
RELEASED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "hashes_0_1_0.json").read_text(encoding="utf-8"))
PLAIN = Trigger("default", "ship", (Slot("order.created", "order"),), RunPlan("ship", "default"), 1)


@pytest.mark.parametrize("released", RELEASED, ids=lambda released: str(released["name"]))
def test_hashes_are_those_of_the_version_before(released: dict[str, Any]) -> None:
    loaded, errors = read_text(released["text"], "triggers", "triggers/a.yaml", "default")
    assert not errors
    hashes = {
        definition.trigger.identity: [definition.trigger.condition_hash, definition.trigger.definition_hash]
        for definition in loaded
    }
    assert hashes == released["hashes"]


def test_run_keys_and_names_are_those_of_the_version_before() -> None:
    event = run_key_of("flowbridge.", "default/ship", "o-1", ("order", "shop", "e-1"))
    frame = run_key_of("flowbridge.", "default/ship", "", ("window.frame", "0", "3600000000"))
    assert (event, frame) == (
        "5jahk5iqec7mlhilk7qo4jhpt4d7gb4at7amry2jhjxifjhoqkvq",
        "ejgqtmj6tqluv7pwy6ell4qzqistn2u5eqfn3tconregwtwl52ta",
    )
    assert workflow_name("ship", event) == f"ship-{event[:16]}"


@dataclass(frozen=True)
class NextTrigger(Trigger):
    """A trigger of a release that adds a field."""

    at_most: int | None = later(None)


def test_a_field_that_a_release_adds_changes_a_hash_only_where_it_is_set() -> None:
    same = NextTrigger("default", "ship", PLAIN.slots, PLAIN.run, 1)
    assert (same.condition_hash, same.definition_hash) == (PLAIN.condition_hash, PLAIN.definition_hash)
    assert same.to_json() == PLAIN.to_json()
    other = replace(same, at_most=3)
    assert other.condition_hash != PLAIN.condition_hash
    assert NextTrigger.from_json(other.to_json()) == other


def test_a_definition_of_a_newer_release_is_read_where_it_uses_nothing_new() -> None:
    newer = NextTrigger("default", "ship", PLAIN.slots, PLAIN.run, 1)
    assert Trigger.from_json(json.loads(json.dumps(newer.to_json()))) == PLAIN
    with pytest.raises(TypeError, match="at_most"):
        Trigger.from_json(json.loads(json.dumps(replace(newer, at_most=3).to_json())))
