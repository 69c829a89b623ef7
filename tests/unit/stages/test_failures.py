"""An exception while a record is processed costs that record a dead letter, and nothing else anything."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bridge.core.decision import Decision
from bridge.core.event import SECOND, EventIdentity
from bridge.core.trigger import WindowPlan
from bridge.kafka.log import Partition, Record
from bridge.kafka.suspects import SuspectRecords
from bridge.stages.matcher.ticks import TickPlanner
from bridge.stages.matcher.window_store import WindowStore
from bridge.stages.shared import run_sender
from bridge.stages.submitter import submitter
from bridge.stages.submitter.lanes import Lane
from bridge.stages.submitter.ledger import ledger_writer
from bridge.stages.submitter.ledger.ledger import State, encode_entry
from bridge.stages.submitter.open_run import OpenRun
from flowbridge_sdk.codec import Decoder
from unit.stages.world import World, one_slot, two_slots

TOPIC = "order.created"


class FailingDecoder(Decoder):
    """A decoder with a bug: it fails at one order."""

    error: Exception = RuntimeError("order bad-order breaks it")

    def decode(self, topic: str, value: bytes | None, headers: Any = None) -> dict[str, Any]:
        """Decode, or fail."""
        payload = super().decode(topic, value, headers)
        if payload["order"] == "bad-order":
            raise self.error
        return payload


def failing(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, text: str) -> None:
    """Let a function of a module fail wherever an argument holds ``text``."""
    works = getattr(module, name)

    def fails(*arguments: Any, **named: Any) -> Any:
        if text in repr(arguments):
            raise KeyError("a bug")
        return works(*arguments, **named)

    monkeypatch.setattr(module, name, fails)


def letters(world: World) -> list[tuple[str, str, str]]:
    return [(letter["stage"], letter["reason"], letter["trigger"]) for letter in world.letters()]


def orders(world: World) -> set[str]:
    return {workflow["order"] for workflow in world.workflows()}


def test_an_event_whose_decoding_raises_is_a_dead_letter_and_all_others_get_through(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World(one_slot(), replace(two_slots(), name="pair"))
    world.decoder = FailingDecoder
    world.start()
    world.run(3)
    for number, order in enumerate(["1", "2", "bad-order", "3", "bad-order", "4"]):
        world.publish(TOPIC, {"order": order}, partition=number % 2)
    with caplog.at_level(logging.ERROR):
        world.run(5)
    assert orders(world) == {"1", "2", "3", "4"}
    assert letters(world) == [("router", "failed", "")] * 2
    failed = [decision for decision in world.decisions if decision.reason == "failed"]
    assert len(failed) == 4  # each of the two at each slot
    assert "RuntimeError in test_failures.py" in world.letters()[0]["text"]
    assert "bad-order" not in world.letters()[0]["text"]  # a message may quote what is sensitive
    assert sum(1 for record in caplog.records if record.exc_info) == 1
    assert len(world.created) == 4
    assert world.processes[0].troubles == []


def test_an_event_of_which_no_run_can_be_made_for_a_bug_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, run_sender, "run_under", "bad-order")
    world = World(one_slot())
    world.start()
    world.run(3)
    for order in ["1", "bad-order", "2"]:
        world.publish(TOPIC, {"order": order})
    world.run(5)
    assert orders(world) == {"1", "2"}
    assert letters(world) == [("router", "failed", "")]


def test_an_arrival_that_cannot_be_applied_leaves_its_window_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, WindowStore, "step", "bad-id")
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "7"})
    world.publish("payment.done", {"order": "7", "amount": 1}, id="bad-id")
    world.publish("payment.done", {"order": "8", "amount": 2})
    world.run(3)
    assert letters(world) == [("matcher", "failed", "default/ship")]
    assert world.reasons_of("bad-id") == ["failed"]
    world.publish("payment.done", {"order": "7", "amount": 3})
    world.publish(TOPIC, {"order": "8"})
    world.run(3)
    assert sorted(workflow["amount"] for workflow in world.workflows()) == ["2", "3"]


def test_the_decision_about_an_arrival_that_is_set_aside_has_the_events_own_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing(monkeypatch, WindowStore, "step", "bad-id")
    world = World(two_slots())
    world.start()
    world.run(3)
    headers = [("ce_id", b"bad-id"), ("ce_source", b"shop"), ("ce_type", b"OrderCancelled")]
    world.broker.append(TOPIC, 0, None, world.encoder.encode("OrderCancelled", {"order": "7"}), headers)
    world.run(3)
    (decision,) = [
        decision for decision in world.decisions if decision.reason == "failed" and isinstance(decision, Decision)
    ]
    assert decision.event == EventIdentity("OrderCancelled", "shop", "bad-id")


def test_a_match_whose_run_cannot_be_made_for_a_bug_leaves_the_partner_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, run_sender, "run_under", "bad-id")
    world = World(two_slots())
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "7"}, id="waits")
    world.run(2)
    world.publish("payment.done", {"order": "7", "amount": 1}, id="bad-id")
    world.run(3)
    assert letters(world) == [("matcher", "failed", "default/ship")]
    world.publish("payment.done", {"order": "7", "amount": 3})
    world.run(3)
    assert [workflow["amount"] for workflow in world.workflows()] == ["3"]
    assert world.reasons_of("waits") == ["waiting", "matched"]
    again = world.start("p2", ("matcher",))  # what it restores is what the first one has in memory
    world.processes[0].stop()
    world.run(10)
    opened = [window for store in again.stage("matcher").windows.values() for window in store.contents().open.values()]
    assert [window.waiting for window in opened] == [((), ())]


def test_a_match_of_a_tick_that_has_no_run_for_a_bug_does_not_hold_up_other_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failing(monkeypatch, run_sender, "run_under", "bad-id")
    slots = two_slots().slots[:1]
    world = World(two_slots(slots=slots, require=1, window=WindowPlan("session", 5_000_000), collect="all", run=RUN))
    world.start()
    world.run(3)
    world.publish(TOPIC, {"order": "7"}, id="bad-id")
    world.publish(TOPIC, {"order": "8"})
    world.run(120, 1)
    assert orders(world) == {"8"}
    assert letters(world) == [("matcher", "unrunnable", "default/ship")]


RUN = one_slot(parameters=(("order", "order[0].payload.order"),)).run


@pytest.mark.parametrize("function", ["decode_run", "decide"])
def test_a_run_that_cannot_be_taken_up_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    if function == "decode_run":
        failing(monkeypatch, submitter, "decode_run", "bad-order")
    else:
        monkeypatch.setattr(Lane, "ask", _fails_at("bad-order", Lane.ask))
    world = World(one_slot())
    world.start()
    world.run(3)
    for order in ["1", "bad-order", "2"]:
        world.publish(TOPIC, {"order": order})
    world.run(5)
    assert orders(world) == {"1", "2"}
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("submitter", "failed")


def _fails_at(text: str, works: Any) -> Any:
    def fails(self: Any, record: Any) -> Any:
        if text in repr(record):
            raise KeyError("a bug")
        return works(self, record)

    return fails


def test_a_run_of_the_ledger_whose_processing_raises_is_a_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(state: State, entry: OpenRun, *rest: Any) -> bytes:
        if state == "intent" and "bad-order" in repr(entry):
            raise KeyError("a bug")
        return encode_entry(state, entry, *rest)

    monkeypatch.setattr(ledger_writer, "encode_entry", fails)
    world = World(one_slot())
    world.start()
    world.run(3)
    for order in ["1", "bad-order", "2"]:
        world.publish(TOPIC, {"order": order})
    world.run(5)
    assert orders(world) == {"1", "2"}
    (letter,) = world.letters()
    assert (letter["stage"], letter["reason"]) == ("submitter", "failed")
    assert letter["run_key"]
    assert world.reasons().count("failed") == 1


def test_trouble_of_the_machine_is_laid_to_no_record() -> None:
    class FullDisk(FailingDecoder):
        error = OSError("no space left on device")

    world = World(one_slot())
    world.decoder = FullDisk
    world.start(stages=("controller",))
    world.run(3)
    router = world.start("p2", ("router",))
    world.run(1)
    world.publish(TOPIC, {"order": "bad-order"})
    with pytest.raises(OSError, match="no space"):
        world.run(3)
    assert (world.letters(), world.committed("router", TOPIC)) == ([], 0)
    assert router.troubles == []


def test_an_exception_that_belongs_to_no_record_stops_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(two_slots())
    world.start()
    world.run(3)

    def fails(self: TickPlanner, windows: Mapping[int, Any], now: int) -> Any:
        del self, windows, now
        raise KeyError("a bug")

    monkeypatch.setattr(TickPlanner, "plan", fails)
    world.publish(TOPIC, {"order": "7"})
    with pytest.raises(KeyError):
        world.run(1_500, 5)
    assert world.letters() == []


def test_a_doomed_record_that_its_partition_no_longer_holds_is_forgotten() -> None:
    suspects = SuspectRecords(lambda: 0)
    assert suspects.record_failure(record(3), KeyError("a bug"), "router")
    assert suspects.find(deque([record(1), record(2), record(3)])) == (suspects.rejected[PLACE], 2)
    assert suspects.find(deque([record(1), record(4)]))[0] is None
    assert not suspects.is_on


def test_a_record_is_blamed_once_and_the_first_of_a_partition_comes_first() -> None:
    suspects = SuspectRecords(lambda: 0)
    assert suspects.record_failure(record(3), KeyError("a bug"), "router")
    assert not suspects.record_failure(
        record(3), KeyError("a bug"), "router"
    )  # setting it aside fails, too: no endless loop
    assert suspects.record_failure(record(2), KeyError("a bug"), "router")
    assert suspects.rejected[PLACE].offset == 2


@pytest.mark.parametrize(("seconds_each", "alone"), [(0, 500), (0.01, 51), (1, 20)])
def test_suspected_records_are_alone_for_half_a_second_and_at_least_twenty_of_them_on_a_slow_machine(
    seconds_each: float, alone: int
) -> None:
    now = 0.0
    suspects = SuspectRecords(lambda: round(now * SECOND))
    suspects.suspect({PLACE: 10_000})
    processed = 0
    while suspects.portion(deque(record(offset) for offset in range(processed, processed + 3))) == 1:
        processed += 1
        suspects.advance()
        now += seconds_each
    assert processed == alone


def test_a_stage_waits_for_another_as_long_as_that_gets_on() -> None:
    now = 0
    suspects = SuspectRecords(lambda: now * SECOND)
    suspects.suspect({PLACE: 10})
    for turn in range(8):  # three seconds for each record
        suspects.wait(turn)
        now += 3
        suspects.wait(turn)
        assert suspects.ends
    for _ in range(4):  # and more than ten for this one
        suspects.wait(7)
        now += 3
    suspects.wait(7)
    assert not suspects.ends


PLACE = Partition(TOPIC, 0)


def record(offset: int) -> Record:
    return Record(TOPIC, 0, offset, 0, None, b"", [])
