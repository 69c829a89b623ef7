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
from e2e.constructs_gathering import SECRET
from e2e.constructs_runs import RATE_RUNS, STORM_COUNT, STORM_RUNS, STORM_WITHIN
from e2e.constructs_story import NOT_FINAL, Story, constructs
from e2e.expected import assert_is, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.installation import Installation, Manifest

PROMISES = {one.name: one.promise for one in constructs(datetime(2024, 2, 29, 12, tzinfo=UTC)).values()}


@pytest.fixture(scope="module")
def story(installation: Installation) -> Iterator[Story]:
    """All that happens; afterwards only what ends by itself is still to come."""
    with Story(installation) as new:
        new.happen()
        yield new


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name}: {text}") for name, text in PROMISES.items()])
def test_each_construct_keeps_its_promise(name: str, story: Story, installation: Installation) -> None:
    construct = story.constructs[name]
    decided = story.wait_final(name, construct.decisions().total())
    assert _final(decided) == construct.decisions()
    assert _still_waiting(decided) == set(construct.waiting.split())
    expected = {name_of(run, installation): run for run in construct.runs(story.began)}
    found = {one["metadata"]["name"]: one for one in installation.workflows(name)}
    assert found.keys() == expected.keys()
    for workflow, run in expected.items():
        assert_is(found[workflow], run, installation)


def test_a_dead_mans_switch_fires_for_the_one_window_in_which_nothing_came(
    story: Story, installation: Installation
) -> None:
    """It was armed before the crash, and the heartbeats of the outage waited in Kafka for longer than its windows."""
    (workflow,) = installation.wait_workflows(constructs_switch.NAME, 1)
    assert_is(workflow, constructs_switch.expected_run(story.beats.silent), installation)


def test_a_rate_lets_one_run_start_in_a_second(story: Story, installation: Installation) -> None:
    """Times of creation have whole seconds, and a create takes some of them: two of the same second may be apart."""
    story.wait_final("rate", 2 * RATE_RUNS)
    moments = [_created_at(one) for one in installation.workflows("rate")]
    assert story.at_crash["rate"] < RATE_RUNS
    assert max(Counter(moments).values()) <= 2
    assert moments[-1] - moments[0] >= timedelta(seconds=RATE_RUNS - 2)


def test_a_storm_holds_what_was_asked_for_over_the_crash(story: Story, installation: Installation) -> None:
    story.wait_final("storm", 2 * STORM_RUNS)
    assert story.at_crash["storm"] <= STORM_COUNT
    held = [_created_at(one) for one in installation.workflows("storm")][STORM_COUNT:]
    assert min(held) >= story.began + STORM_WITHIN - timedelta(seconds=1)
    (waits_for,) = {one["evidence"]["waits_for"] for one in story.decisions("storm") if one["reason"] == "retrying"}
    assert waits_for == "storm"


def test_a_wait_is_capped_from_its_first_event_on_and_a_quiet_one_counted_from_the_last(story: Story) -> None:
    """What is decided to wait says until when."""
    capped = [one["evidence"]["until"] for one in story.decisions("max-wait") if one["reason"] == "waiting"]
    quiet = [one["evidence"]["until"] for one in story.decisions("settle") if one["reason"] == "waiting"]
    assert (len(capped), len(set(capped))) == (3, 1)
    assert (len(quiet), len(set(quiet))) == (2, 2)


def test_decisions_show_their_evidence_without_what_is_sensitive(story: Story, installation: Installation) -> None:
    construct = story.constructs["sensitive"]
    decided = story.wait_final("sensitive", construct.decisions().total())
    (filtered,) = [one for one in decided if one["reason"] == "filtered"]
    assert filtered["evidence"] == {
        "where": construct.slots["a"]["where"],
        "payload.card.number": "(redacted)",
        "payload.card.country": '"FR"',
    }
    assert {one["key"] for one in decided if one["reason"] in {"waiting", "matched"}} == {"(redacted)"}
    assert not [one for one in installation.records("decisions") if SECRET.encode() in one]


def test_nothing_else_came_of_it(story: Story, installation: Installation) -> None:
    """No other Workflow, no dead letter, no error; and the processes end as they are asked to."""
    installation.wait_idle()
    wanted = [run for construct in story.constructs.values() for run in construct.runs(story.began)]
    wanted.append(constructs_switch.expected_run(story.beats.silent))
    found = Counter(one["metadata"]["name"] for one in installation.workflows())
    assert found == Counter(name_of(run, installation) for run in wanted)
    assert installation.records("dead-letters") == []
    for process in story.back:
        assert process.terminate().code == 0
        assert "Traceback" not in process.text()


def _final(decided: list[Manifest]) -> Counter[tuple[str, str]]:
    """Return the final decisions: reason and id of events, reason of runs; ``created`` counts as ``already-ran``."""
    reasons = Counter((one["reason"], one["id"]) for one in decided if one["reason"] not in NOT_FINAL)
    reasons["already-ran", ""] += reasons.pop(("created", ""), 0)
    return +reasons


def _still_waiting(decided: list[Manifest]) -> set[str]:
    """Return the events that wait: what was decided of them last, not counting their repeats."""
    last = {one["id"]: one["reason"] for one in decided if one["id"] and one["reason"] != "duplicate"}
    return {id_ for id_, reason in last.items() if reason == "waiting"}


def _created_at(workflow: Manifest) -> datetime:
    """Return when a Workflow was created, in whole seconds."""
    return datetime.fromisoformat(workflow["metadata"]["creationTimestamp"])
