"""A dead letter is sent back once, by one sender, and marked in the transaction that sends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from bridge.core.decision import RunDecision
from bridge.core.event import HOUR, SECOND
from bridge.kafka.log import FencedError
from bridge.kafka.memory.log import CrashedError, MemoryLog
from bridge.kafka.records import SENT_BACK
from bridge.letters.dealing import Dealing
from bridge.letters.letter import Choice, LetterState
from bridge.letters.letter_log import LetterOwner
from bridge.letters.way_back import Stays
from bridge.settings.groups import SubmitterSettings
from bridge.stages.shared.dead_letters import Cause
from bridge.stages.shared.run_records import decode_run
from unit.letters.office import EVERY, OPEN, TOPIC, Office, keyed, mend, sent, with_letters
from unit.stages.effects import HookedLog, KilledError
from unit.stages.world import World, one_slot, two_slots

MOMENTS = [
    (f"{when} {effect}", nth)
    for effect, most in (("send", 6), ("commit", 3))
    for when in ("before", "after")
    for nth in range(1, most + 1)
]


def test_letters_that_are_sent_back_when_their_cause_is_gone_run_once_and_are_open_no_more() -> None:
    world = with_letters(5)
    assert [letter.reason for letter in Office(world).read()] == ["unkeyed"] * 5
    mend(world)
    progress = Office(world).retry()
    world.run(5)
    assert (progress.done, progress.staying) == (5, [])
    assert sorted(workflow["order"] for workflow in world.workflows()) == ["0", "1", "2", "3", "4"]
    assert Office(world).read() == []
    letters = Office(world).read(EVERY)
    assert [letter.state for letter in letters] == [LetterState.SENT] * 5
    mark = letters[0].marks[0]
    assert (mark.cause, mark.by, mark.why, mark.at) == (Cause.RETRY, "ann@host", "mended", mark.at)
    assert Office(world).retry().done == 0


def test_a_letter_whose_cause_is_not_gone_is_a_new_letter_and_the_old_one_is_sent() -> None:
    world = with_letters(2)
    Office(world).retry()
    world.run(5)
    assert Counter(letter.state for letter in Office(world).read(EVERY)) == {LetterState.SENT: 2, LetterState.OPEN: 2}


@pytest.mark.parametrize(("effect", "nth"), MOMENTS)
def test_a_process_that_is_killed_while_it_sends_leaves_each_letter_sent_once_for_its_successor(
    effect: str, nth: int
) -> None:
    world = with_letters(5)
    mend(world)
    memory = MemoryLog(world.broker)
    left = nth

    def hook(reached: str) -> None:
        nonlocal left
        left -= reached == effect
        if left == 0 and reached == effect:
            memory.crash()
            raise KilledError

    with pytest.raises((KilledError, CrashedError)):
        Office(world, HookedLog(memory, hook)).retry(rate=8)  # two letters a transaction
    world.run(1)
    Office(world).retry()
    world.run(5)
    assert set(sent(world).values()) == {1}
    assert len(sent(world)) == 5
    assert sorted(workflow["order"] for workflow in world.workflows()) == ["0", "1", "2", "3", "4"]
    assert Office(world).read() == []


def test_a_second_process_fences_the_first_one() -> None:
    world = with_letters(2)
    office = Office(world)
    first = LetterOwner(office.log, world.topics, "ann@host")
    letters = office.read()
    LetterOwner(office.log, world.topics, "bob@host").deal([(letters[0], None)], Cause.DISCARD, "", world.now)
    with pytest.raises(FencedError):
        first.deal([(letters[1], None)], Cause.DISCARD, "", world.now)
    assert [letter.name for letter in office.read()] == [letters[1].name]


def test_letters_are_sent_at_a_rate_and_no_more_than_a_limit() -> None:
    world = with_letters(6)
    mend(world)
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        waited.append(seconds)
        world.now += round(seconds * SECOND)
        return False

    begun = world.now
    assert Office(world).retry(rate=2, limit=5, wait=wait).done == 5
    assert (world.now - begun) / SECOND == pytest.approx(2.0)  # the first at once, then one each half second
    assert len(Office(world).read()) == 1


def test_a_process_that_is_asked_to_stop_does_so_between_two_batches() -> None:
    world = with_letters(6)
    stops = iter([False, True])
    progress = Office(world).retry(rate=4, wait=lambda _: next(stops))
    assert (progress.done, progress.is_stopped) == (1, True)
    assert len(Office(world).read()) == 5


def test_an_event_without_an_id_of_its_own_is_the_same_event_when_it_is_sent_back() -> None:
    used = replace(one_slot(), name="used")
    world = World(used, keyed("payload.none"))
    world.start()
    world.run(3)
    world.broker.append(TOPIC, 1, b"c-7", world.encoder.encode(TOPIC, {"order": "1"}), [("traceparent", b"00-1")])
    world.run(3)
    assert len(world.created) == 1
    assert Office(world).retry().done == 1
    world.run(5)
    assert len(world.created) == 1  # the trigger that has used it decides so
    record = list(world.records(TOPIC))[-1]
    headers = dict(record.headers)
    assert (record.partition, record.key, headers["traceparent"]) == (1, b"c-7", b"00-1")
    assert (headers["ce_id"], headers["ce_source"]) == (b"order.created/1/0", b"order.created")
    assert "already-ran" in [str(decision.reason) for decision in world.decisions if isinstance(decision, RunDecision)]


def refused(**settings: int) -> World:
    """Return a world with a run that was given up, because its WorkflowTemplate is missing."""
    world = World(one_slot())
    world.api = type(world.api)(clock=lambda: world.now / SECOND, on_created=world.created.append)
    world.submitter = SubmitterSettings(outcome_pace=0, retry_for=60 * SECOND, **settings)
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(600, step=1)
    return world


def test_a_run_that_was_refused_is_made_again_under_a_key_of_its_own_when_its_template_is_there() -> None:
    world = refused()
    (letter,) = Office(world).read()
    assert (letter.reason, letter.run_key != "") == ("refused", True)
    world.api.add_template("default", "ship", defaults=("order", "amount"))
    assert Office(world).retry().done == 1
    world.run(20)
    (workflow,) = world.api.workflows()
    assert workflow.run_key != letter.run_key
    assert workflow.manifest["metadata"]["annotations"]["flowbridge.dev/repeats"] == letter.run_key
    (mark,) = Office(world).read(EVERY)[0].marks
    assert mark.successor == workflow.run_key


def test_a_run_that_exists_by_now_stays() -> None:
    world = refused()
    (letter,) = Office(world).read()
    world.api.add_template("default", "ship", defaults=("order", "amount"))
    Office(world).retry()
    world.run(20)
    again = replace(letter, marks=())
    stays = Office(world).way().of(again)
    assert isinstance(stays, Stays)
    assert stays.why.startswith("its run is there by now: ran (default/ship-")


@pytest.mark.parametrize(
    ("reason", "why"), [("outcome-unknown", "may have been created"), ("poison", "has ended the processes")]
)
def test_what_can_do_harm_is_sent_back_only_by_name(reason: str, why: str) -> None:
    world = refused()
    (letter,) = Office(world).read()
    doubtful = replace(letter, reason=reason)
    stays = Office(world).way().of(doubtful)
    assert isinstance(stays, Stays)
    assert why in stays.why
    assert not isinstance(Office(world).way(is_named=True).of(doubtful), Stays)


def test_the_deadline_of_a_run_begins_when_it_is_sent_back() -> None:
    trigger = one_slot()
    world = World(replace(trigger, run=replace(trigger.run, start_deadline=HOUR)))
    world.api = type(world.api)(clock=lambda: world.now / SECOND, on_created=world.created.append)
    world.submitter = SubmitterSettings(outcome_pace=0, retry_for=60 * SECOND)
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.run(600, step=1)
    world.now += 2 * HOUR
    world.api.add_template("default", "ship", defaults=("order", "amount"))
    Office(world).retry()
    (record,) = [decode_run(value) for value in world.values(world.topics.runs)][-1:]
    assert record.start_by == world.now + HOUR


def test_a_match_without_a_run_stays_since_its_events_are_used() -> None:
    trigger = two_slots()
    run = replace(trigger.run, parameters=(("order", "order.payload.nothing"),))
    world = World(replace(trigger, run=run))
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "1"})
    world.publish("payment.done", {"order": "1", "amount": 2})
    world.run(5)
    (letter,) = Office(world).read()
    assert (letter.stage, letter.reason) == ("matcher", "unrunnable")
    stays = Office(world).way().of(letter)
    assert isinstance(stays, Stays)
    assert "flowbridge replay --trigger default/ship --from 20" in stays.why


def test_an_event_that_waits_for_its_schema_stays_and_is_sent_by_the_bridge_unless_it_is_discarded() -> None:
    from unit.stages.router.test_waiting_letters import begun, orders, publish  # noqa: PLC0415

    world, folder, _ = begun()
    publish(world, "1")
    publish(world, "2")
    world.run(10)
    first, second = Office(world).read()
    progress = Office(world).retry()
    assert (progress.done, len(progress.staying)) == (0, 2)
    assert Office(world).discard(Choice(places=frozenset({first.place}))).done == 1
    folder.versions.add(1)
    world.run(10)
    assert orders(world) == ["2"]
    states = {letter.name: letter.state for letter in Office(world).read(EVERY)}
    assert states == {first.name: LetterState.DISCARDED, second.name: LetterState.SENT}


def test_a_topic_that_is_gone_keeps_its_letters() -> None:
    world = with_letters(1)
    (letter,) = Office(world).read()
    elsewhere = replace(letter, record=letter.record._replace(partition=7))
    stays = Office(world).way().of(elsewhere)
    assert stays == Stays("there is no partition 7 of topic order.created any more")


def test_a_mark_of_an_edit_names_the_new_event() -> None:
    world = with_letters(1)
    office = Office(world)
    (letter,) = office.read()
    sending = office.way().of(letter)
    assert not isinstance(sending, Stays)
    owner = LetterOwner(office.log, world.topics, "ann@host")
    owner.deal([(letter, sending._replace(successor="new-id"))], Cause.EDIT, "a typing error", world.now)
    (edited,) = office.read(EVERY)
    assert edited.state is LetterState.EDITED
    assert edited.marks[0].successor == "new-id"
    (value,) = world.values(world.topics.retries)
    assert SENT_BACK.decode(value)["why"] == "a typing error"


def test_dealing_tells_after_each_batch() -> None:
    world = with_letters(4)
    office = Office(world)
    told: list[int] = []
    owner = LetterOwner(office.log, world.topics, "ann@host")
    dealing = Dealing(
        owner,
        Cause.DISCARD,
        "",
        lambda: world.now,
        lambda: world.now,
        lambda _: False,
        lambda progress: told.append(progress.done),
    )
    dealing.all(office.letters.read(OPEN), lambda _: None, rate=8)
    assert told == [2, 4]
