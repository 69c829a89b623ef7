"""The promises about combinations: each is refused with a reason, or compiles, exactly as the documentation says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from bridge.core.definition import Definition
from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Event, EventIdentity
from bridge.core.runs.run_of_match import make_run
from bridge.core.trigger import Trigger
from bridge.core.windows.window import Arrival, Match
from bridge.triggers.compile import compile_trigger
from unit.core.stepping import Stepping

PAGE = Path(__file__).parents[3] / "docs" / "triggers" / "combinations.md"

WINDOWS: Mapping[str | None, Mapping[str, Any]] = {
    None: {},
    "within": {"within": "1h"},
    "every": {"every": "1d", "timezone": "Europe/Berlin"},
    "until": {"until": {"cron": "0 6 * * *", "timezone": "Europe/Berlin"}},
    "session": {"session": "10m"},
    "settle": {"settle": "10m"},
    "batch": {"batch": {"size": 10, "wait": "1m"}},
}
RESET = {"reset": {"cron": "0 0 * * *", "timezone": "Europe/Berlin"}}


class Combination(NamedTuple):
    kind: str | None
    present: int
    absent: int
    counted: bool
    require: str | int | None
    order: str | None
    collect: str | None
    reset: bool
    grace: bool
    max_wait: bool
    key: bool

    def spec(self) -> dict[str, Any]:
        slots: list[dict[str, Any]] = [{"name": f"p{index}"} for index in range(self.present)]
        if self.counted and slots:
            slots[0]["count"] = 2
        slots += [{"name": f"a{index}", "absent": True} for index in range(self.absent)]
        window = {**WINDOWS[self.kind]}
        window |= RESET if self.reset else {}
        window |= {"maxWait": "1h"} if self.max_wait else {}
        spec: dict[str, Any] = {"events": slots, "run": {"workflowTemplate": "w"}, "window": window or None}
        for name in ("require", "order", "collect"):
            if getattr(self, name) is not None:
                spec[name] = getattr(self, name)
        spec |= {"grace": "2m"} if self.grace else {}
        return spec | ({"key": "payload.k"} if self.key else {})


COMBINATIONS = [
    Combination(kind, present, absent, counted, require, order, collect, reset, grace, max_wait, key)
    for kind, present, absent, counted in product(WINDOWS, (0, 1, 2), (0, 1), (False, True))
    for require, order, collect in product((None, "any", 2), (None, "sequence"), (None, "first", "all"))
    for reset, grace, max_wait in product((False, True), repeat=3)
    for key in ((False,) if present else (False, True))  # a key matters only where no event is to be there
    if present + absent
]


def compiled(spec: Mapping[str, Any]) -> Any:
    head = {"apiVersion": "flowbridge.dev/v1", "kind": "Trigger", "metadata": {"name": "t"}}
    return compile_trigger({**head, "spec": spec}, "default")


def documented() -> dict[str, dict[str, str]]:
    """Return the page's table: by construct and kind of window what the cell says."""
    rows = [line.strip("| ").split(" | ") for line in PAGE.read_text().split("\n\n")[2].splitlines()]
    header = [cell.replace("`", "") for cell in PAGE.read_text().split("\n\n")[2].splitlines()[0].split(" | ")[1:]]
    return {row[0]: dict(zip([cell.strip("| ") for cell in header], row[1:], strict=True)) for row in rows[2:]}


def rows_of(combination: Combination) -> set[str]:
    """Return the rows of the table that a combination takes part in."""
    rows = {
        "`count`": combination.counted and combination.present > 0,
        "`order: sequence`": combination.order is not None,
        "several events": combination.present + combination.absent > 1,
        "one event": combination.present == 1
        and not combination.absent
        and not (combination.counted and combination.kind),
        "`absent`, beside other events": combination.present > 0 and combination.absent > 0,
        "nothing but `absent`": not combination.present,
        "`collect: latest`, `first`": combination.collect == "first",
        "`collect: all`": combination.collect == "all",
        "`reset`": combination.reset,
        "`grace`": combination.grace,
        "`maxWait`": combination.max_wait,
        "`key`": combination.key,
    }
    return {row for row, is_in in rows.items() if is_in}


def is_documented(combination: Combination, table: Mapping[str, Mapping[str, str]]) -> bool:
    """Tell whether the page allows a combination: its table, and what stands below it."""
    column = {None: "no window", "every": "every, until", "until": "every, until"}.get(
        combination.kind, combination.kind or ""
    )
    cells = [table[row][column] for row in rows_of(combination)]
    if not all(cell == "yes" or (cell == "with `reset`" and combination.reset) for cell in cells):
        return False
    if combination.kind is None and (combination.reset or combination.max_wait):
        return False
    gathers = combination.kind in {"session", "settle", "batch"}
    if combination.order and (combination.collect == "all" or (combination.collect is None and gathers)):
        return False
    if combination.order and (combination.present < 2 or combination.require == "any"):
        return False
    if not combination.present:
        return not (combination.require or combination.order or combination.collect or combination.key)
    return not isinstance(combination.require, int) or combination.require <= combination.present


def test_every_combination_is_refused_with_a_reason_or_compiles_as_documented() -> None:
    table, counted = documented(), {True: 0, False: 0}
    for combination in COMBINATIONS:
        outcome = compiled(combination.spec())
        is_refused = isinstance(outcome, list)
        assert is_refused != is_documented(combination, table), (combination, outcome)
        counted[is_refused] += 1
        if is_refused:
            assert all(path and misfit.found and misfit.expected for path, misfit in outcome)
        else:
            assert isinstance(outcome, Trigger)
            check_whole(combination, outcome)
    assert counted[False] > 500


def check_whole(combination: Combination, trigger: Trigger) -> None:
    """Check that a compiled trigger says what was written, and can be told from its JSON."""
    assert (trigger.window.kind if trigger.window else None) == combination.kind
    assert trigger.is_windowed == (combination.kind is not None)
    assert len(trigger.slots) == combination.present + combination.absent
    assert trigger.require == {"any": 1, 2: 2, None: combination.present}[combination.require]
    assert trigger.order == (combination.order or "any")
    assert trigger.collect == (
        combination.collect or ("all" if combination.kind in {"session", "settle", "batch"} else "latest")
    )
    assert trigger.window is None or (trigger.grace > 0 and trigger.dedupe > trigger.grace)


def test_dedupe_is_for_what_waits() -> None:
    cells = documented()["`dedupe`"]
    for kind, window in WINDOWS.items():
        slots = [{"name": "a"}, {"name": "b"}] if kind else [{"name": "a"}]
        spec = {"events": slots, "window": dict(window) or None, "dedupe": "1h", "run": {"workflowTemplate": "w"}}
        column = {None: "no window", "every": "every, until", "until": "every, until"}.get(kind, kind or "")
        assert isinstance(compiled(spec), Trigger) == (cells[column] == "yes")


def test_every_combination_that_compiles_decides_every_event_and_gives_each_match_its_own_run() -> None:
    random, kinds, runs = Random(4), set(), 0
    for combination in random.sample(COMBINATIONS, len(COMBINATIONS) // 10):
        trigger = compiled(combination.spec())
        if isinstance(trigger, Trigger) and trigger.is_windowed:
            kinds.add(combination.kind)
            runs += check_decisions_and_runs(trigger, random)
    assert runs > 500
    assert kinds == set(WINDOWS) - {None}


def check_decisions_and_runs(trigger: Trigger, random: Random) -> int:
    """Let events come to a trigger over days, with ticks; check its decisions and runs, and return how many runs."""
    stepping, time, decided = Stepping(trigger), 1_770_000_000 * SECOND, Counter[tuple[str, EventIdentity]]()
    for offset in range(40):
        time += random.choice((10 * SECOND, MINUTE, 20 * MINUTE, 6 * HOUR))
        slot = random.randrange(len(trigger.slots))
        event = EventIdentity(trigger.slots[slot].event, "shop", str(offset))
        arrival = Arrival(time - random.choice((0, 5 * MINUTE)), offset, slot, event, time, "", None, b"")
        key = "" if trigger.slots[0].key is None else random.choice("kl")
        decisions = [*stepping.arrive(key, arrival).decisions, *(stepping.tick(time) if offset % 3 else ())]
        decided.update((decision.slot, decision.event) for decision in decisions if decision.reason != "waiting")
    decided.update((decision.slot, decision.event) for decision in [*stepping.tick(time + 9 * DAY), *stepping.retire()])
    assert set(decided.values()) == {1}
    assert len(decided) == 40
    runs = [make_run(Definition(trigger), "fb.", key, _events(match), frame) for key, match, frame in stepping.matches]
    assert len({run.run_key for run in runs}) == len(runs)
    return len(runs)


def _events(match: Match) -> list[list[Event]]:
    return [[Event(*arrival.event, arrival.time, arrival.reached, None, {}) for arrival in slot] for slot in match]


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"require": 2}, "spec.require", "there are 1 events"),
        ({"events": [{"name": "a", "count": 11}], "window": WINDOWS["batch"]}, "spec.window.batch.size", "needs 11"),
        (
            {"events": [{"name": "a"}, {"name": "b", "count": 4}], "window": {"batch": {"size": 4}}},
            "spec.window.batch.size",
            "needs 5",
        ),
        (
            {"events": [{"name": "a"}, {"name": "b", "absent": True, "count": 2}], "window": WINDOWS["within"]},
            "spec.events.1.count",
            "one is too many",
        ),
        (
            {
                "events": [{"name": "a"}, {"name": "b", "absent": True, "parameters": ["x"]}],
                "window": WINDOWS["within"],
            },
            "spec.events.1.parameters",
            "never there",
        ),
        (
            {"events": [{"name": "a"}, {"name": "a", "as": "b", "absent": True}], "window": WINDOWS["within"]},
            "spec.events.1.absent",
            "would fill another slot and cancel",
        ),
        (
            {
                "events": [{"name": "a", "count": 26}, {"name": "a", "as": "b", "count": 25}],
                "window": WINDOWS["within"],
            },
            "spec.events.1.count",
            "51 events: which fills which is a search",
        ),
        (
            {
                "events": [{"name": "a", "absent": True}],
                "window": WINDOWS["every"],
                "run": {"workflowTemplate": "w", "id": '"x"'},
            },
            "spec.run.id",
            "always be the same",
        ),
        ({"events": [{"name": "a", "where": "1 > 2"}]}, "spec.events.0.where", "never true"),
        ({"events": [{"name": "a", "where": "1 / 0 == 1"}]}, "spec.events.0.where", "no value for any event"),
        ({"key": "1.5"}, "spec.key", "a key for no event"),
        ({"window": {"within": "0s"}}, "spec.window.within", "found '0s'"),
        ({"run": {"workflowTemplate": "w", "startDeadline": "0s"}}, "spec.run.startDeadline", "found '0s'"),
        ({"window": {"until": {"cron": "0 0 30 2 *"}}}, "spec.window.until.cron", "found '0 0 30 2 *'"),
        ({"window": {"until": {"cron": "0 0 29 2 *"}}}, "spec.window.until.cron", "more than a year"),
        ({"window": {"settle": "10m", "maxWait": "5m"}}, "spec.window.maxWait", "is over before"),
    ],
)
def test_what_can_never_fire_is_refused(changes: dict[str, Any], field: str, reason: str) -> None:
    outcome = compiled({"events": [{"name": "a"}], "run": {"workflowTemplate": "w"}, **changes})
    assert isinstance(outcome, list)
    assert [".".join(map(str, path)) for path, _ in outcome] == [field]
    assert reason in str(outcome[0][1])


def test_an_event_at_two_slots_may_be_counted_as_far_as_a_search_goes() -> None:
    slots = [{"name": "a", "count": 25}, {"name": "a", "as": "b", "count": 25}]
    alone = [{"name": "a", "count": 1000}, {"name": "b", "count": 1000}]
    for events in (slots, alone):
        outcome = compiled({"events": events, "window": WINDOWS["within"], "run": {"workflowTemplate": "w"}})
        assert isinstance(outcome, Trigger), outcome


def test_one_event_may_fill_and_cancel_when_filters_tell_apart_which() -> None:
    slots = [
        {"name": "job", "as": "started", "where": 'payload.state == "started"'},
        {"name": "job", "as": "ended", "where": 'payload.state == "ended"', "absent": True},
    ]
    spec = {"events": slots, "window": WINDOWS["within"], "key": "payload.id", "run": {"workflowTemplate": "w"}}
    assert isinstance(compiled(spec), Trigger)
