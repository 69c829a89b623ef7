"""The story of each reason, as it is printed. A person has read each of them (:mod:`unit.explain.scenes`)."""

from __future__ import annotations

import pytest

from bridge.core.decision import Reason, RunReason
from bridge.core.event import SECOND
from bridge.core.trigger import Trigger
from bridge.explain.sentences import _EVENTS, About, AboutRun, apart, event_sentence, run_sentence
from bridge.explain.story import NOT_APPLIED, NOT_BEGUN, NOT_IN_FORCE, NOT_READ, UNKNOWN
from unit.explain.scenes import SCENES, STORIES, told
from unit.stages.world import one_slot

RUN_SCENES = {"waiting": "run-waiting", "failed": "run-failed"}


@pytest.mark.parametrize("name", SCENES)
def test_a_story_reads_as_it_did_when_a_person_read_it(name: str) -> None:
    assert told(name) == (STORIES / f"{name}.txt").read_text(encoding="utf-8")


def test_each_reason_and_each_state_has_a_story_and_a_sentence() -> None:
    states = {NOT_APPLIED, NOT_BEGUN, NOT_IN_FORCE, NOT_READ}
    reasons = {reason.value for reason in Reason} | states
    assert reasons <= SCENES.keys()
    assert {RUN_SCENES.get(reason, reason) for reason in RunReason} <= SCENES.keys()
    assert _EVENTS.keys() == reasons | {UNKNOWN}
    assert {file.stem for file in STORIES.glob("*.txt")} == SCENES.keys()


@pytest.mark.parametrize("reason", _EVENTS)
def test_a_sentence_is_whole_also_without_its_evidence(reason: str) -> None:
    """Old records have less evidence than those of today."""
    trigger: Trigger = one_slot()
    text = event_sentence(reason, About(trigger, "order_created", {}))
    assert text[0].isupper()
    assert text.rstrip().endswith((".", "`."))
    assert ": ." not in text


@pytest.mark.parametrize("reason", RunReason)
def test_a_sentence_about_a_run_names_its_workflow(reason: RunReason) -> None:
    assert "ns/ship-1" in run_sentence(reason, AboutRun("ns/ship", "ns/ship-1", "because"))
    assert run_sentence(reason, AboutRun("ns/ship", "ns/ship-1")).endswith((".", "`."))


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (0, "0 ms"),
        (1_500, "1 ms"),
        (SECOND, "1 second"),
        (3_723 * SECOND, "1 hour 2 minutes"),
        (2 * 86_400 * SECOND + 5 * SECOND, "2 days 5 seconds"),
    ],
)
def test_a_length_of_time_has_its_two_largest_units(length: int, text: str) -> None:
    assert apart(length) == text
