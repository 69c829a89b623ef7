"""Everything that a trigger can say, from end to end: each has its events before, in and after one crash.

The bridge is killed while a window of every kind is open, and stays dead for longer than they are long; what happened
meanwhile waits in Kafka. Nothing is lost, nothing is doubled, no match that was possible is missed, and no absence
fires wrongly.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from e2e import constructs_switch
from e2e.constructs import Plan
from e2e.constructs_any_window import OWNER, SECRET
from e2e.constructs_runs import AT_ONCE, LIMITED
from e2e.constructs_story import NOT_FINAL, Story, TooSlowError, constructs
from e2e.expected import assert_is, name_of
from e2e.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.installation import Manifest
    from servers.choice import AnyKafka, AnyKubernetes

pytestmark = pytest.mark.timeout(900)

OUTAGES = (36, 72, 144)
"""Seconds; the stories are told anew with the next one where the machine was too slow for it."""

PROMISES = {
    construct.name: construct.promise
    for construct in constructs(Plan(datetime(2024, 2, 29, 12, tzinfo=UTC), OUTAGES[0])).values()
}


@pytest.fixture(scope="module")
def story(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """All that happens; afterwards only what ends by itself is still to come."""
    slow: list[str] = []
    for outage in OUTAGES:
        with Story(Installation(kafka, kubernetes, tmp_path_factory.mktemp("constructs")), outage) as told:
            try:
                told.happen()
            except TooSlowError as error:
                slow.append(str(error))
            else:
                yield told
                return
    pytest.fail(f"this machine is too slow for these stories: {slow}")


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name}: {text}") for name, text in PROMISES.items()])
def test_each_construct_keeps_its_promise(name: str, story: Story) -> None:
    construct, installation = story.constructs[name], story.installation
    decided = story.wait_final(name, construct.decisions().total())
    assert _final(decided) == construct.decisions()
    assert _still_waiting(decided) == set(construct.waiting.split())
    expected = {name_of(run, installation): run for run in construct.runs(story.began)}
    found = {workflow["metadata"]["name"]: workflow for workflow in installation.workflows(name)}
    assert found.keys() == expected.keys()
    for workflow, run in expected.items():
        assert_is(found[workflow], run, installation)


def test_a_dead_mans_switch_fires_for_the_one_window_in_which_nothing_came(story: Story) -> None:
    """It was armed before the crash, and the heartbeats of the outage waited in Kafka for longer than its windows."""
    (workflow,) = story.installation.wait_workflows(constructs_switch.NAME, 1)
    assert_is(workflow, constructs_switch.expected_run(story.beats.silent), story.installation)


@pytest.mark.parametrize("limit", ["rate", "storm"])
def test_a_limit_counts_over_the_crash_what_was_before_it(limit: str, story: Story) -> None:
    story.wait_final(limit, story.constructs[limit].decisions().total())
    moments = [_created_at(workflow) for workflow in story.installation.workflows(limit)]
    assert moments[AT_ONCE] >= story.began + LIMITED - timedelta(seconds=1)  # moments have whole seconds
    waits = {
        decision["evidence"]["waits_for"] for decision in story.decisions(limit) if decision["reason"] == "waiting"
    }
    assert waits == {limit}


def test_a_wait_is_capped_from_its_first_event_on_and_a_quiet_one_counted_from_the_last(story: Story) -> None:
    """What is decided to wait says until when."""
    capped = [
        decision["evidence"]["until"] for decision in story.decisions("max-wait") if decision["reason"] == "waiting"
    ]
    quiet = [decision["evidence"]["until"] for decision in story.decisions("settle") if decision["reason"] == "waiting"]
    assert (len(capped), len(set(capped))) == (3, 1)
    assert (len(quiet), len(set(quiet))) == (2, 2)


def test_decisions_show_their_evidence_without_what_is_sensitive(story: Story) -> None:
    construct = story.constructs["sensitive"]
    decided = story.wait_final("sensitive", construct.decisions().total())
    (filtered,) = [decision for decision in decided if decision["reason"] == "filtered"]
    assert filtered["evidence"] == {
        "where": construct.slots["a"]["where"],
        "payload.card.number": "(redacted)",
        "payload.card.owner": "(redacted)",
        "payload.card.country": '"FR"',
    }
    assert {decision["key"] for decision in decided if decision["reason"] in {"waiting", "matched"}} == {"(redacted)"}
    shown = [*story.installation.records("decisions"), *[process.text().encode() for process in story.processes]]
    assert not [text for text in shown if SECRET.encode() in text or OWNER.encode() in text]


def test_nothing_else_came_of_it(story: Story) -> None:
    """No other decision, no other Workflow, no dead letter, no error; and the processes end as they are asked to."""
    installation = story.installation
    installation.wait_idle()
    for name, construct in story.constructs.items():
        assert _final(story.decisions(name)) == construct.decisions(), name
    wanted = [run for construct in story.constructs.values() for run in construct.runs(story.began)]
    wanted.append(constructs_switch.expected_run(story.beats.silent))
    found = Counter(workflow["metadata"]["name"] for workflow in installation.workflows())
    assert found == Counter(name_of(run, installation) for run in wanted)
    assert installation.records("dead-letters") == []
    for process in story.processes[1:]:
        assert process.terminate().code == 0
    for process in story.processes:
        assert "Traceback" not in process.text()


def _final(decided: list[Manifest]) -> Counter[tuple[str, str]]:
    """Return the final decisions: reason and id of events, reason of runs; ``created`` counts as ``already-ran``."""
    reasons = Counter(
        (decision["reason"], decision["id"]) for decision in decided if decision["reason"] not in NOT_FINAL
    )
    reasons["already-ran", ""] += reasons.pop(("created", ""), 0)
    return +reasons


def _still_waiting(decided: list[Manifest]) -> set[str]:
    """Return the events that wait: what was decided of them last, not counting their repeats."""
    last = {
        decision["id"]: decision["reason"]
        for decision in decided
        if decision["id"] and decision["reason"] != "duplicate"
    }
    return {id_ for id_, reason in last.items() if reason == "waiting"}


def _created_at(workflow: Manifest) -> datetime:
    """Return when a Workflow was created, in whole seconds."""
    return datetime.fromisoformat(workflow["metadata"]["creationTimestamp"])
