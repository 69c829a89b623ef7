"""What is recorded is found again, also where it is read from a file."""

from __future__ import annotations

from pathlib import Path

from bridge.core.event import EventIdentity
from bridge.core.runs.run import Run
from bridge.replay.recorded import Outcome, Recorded
from bridge.stages.shared.run_records import encode_facts


def event(number: int) -> EventIdentity:
    return EventIdentity("order.created", "shop", f"order-{number}")


def run_of(number: int) -> Run:
    return Run(
        run_key=f"key-{number}",
        trigger="default/ship",
        definition_hash="0" * 16,
        key="",
        namespace="default",
        name=f"ship-{number}",
        template="ship",
        parameters=(),
        payload=None,
        labels=(),
        annotations=(),
        events=(("order_created", event(number)),),
        event_time=1,
        reached=1,
    )


def test_runs_and_events_that_are_recorded_are_found_and_no_others(tmp_path: Path) -> None:
    recorded = Recorded("default/ship")
    for number in range(0, 20_000, 2):
        facts = encode_facts(run_of(number), None)
        recorded.put(f"key-{number}", Outcome.RAN, "created", f"default/ship-{number}", 1, facts)
    recorded.hold([event(number) for number in range(20_000, 30_000, 2)])
    recorded.save(tmp_path / "recorded")
    for known in (recorded, Recorded("default/ship", tmp_path / "recorded")):
        for number in range(20_000):
            found, use = known.find(f"key-{number}"), known.use_of(event(number))
            assert (found is not None, use is not None) == (number % 2 == 0, number % 2 == 0)
            assert use is None or use.run_key == f"key-{number}"
        held = [number for number in range(20_000, 30_000) if known.is_held(event(number))]
        assert held == list(range(20_000, 30_000, 2))
        known.close()


def test_a_run_in_place_of_another_counts_as_that_one() -> None:
    recorded = Recorded("default/ship")
    again = run_of(1)._replace(run_key="again", repeats="key-1")
    recorded.put("again", Outcome.RAN, "created", "default/ship-again", 2, encode_facts(again, None))
    found = recorded.find("key-1")
    assert found is not None
    assert found.outcome is Outcome.RAN
    recorded.close()
