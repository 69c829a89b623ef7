"""Constructs of what windows of any kind take: how many events, which, how long an event is known, what is hidden.

Most are told with a sliding window. The constructs of each kind stand in :mod:`kinds`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.constructs import BACK, DOWN, FIRST, LAST, THEN, Construct, Match, Plan, Sent, slots

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "4711-0815-secret"
OWNER = "Alma Secretive"

SENSITIVE = "card.owner"
"""What the setting names, for all triggers; the trigger names the card's number."""

_HOUR: dict[str, Any] = {"within": "1h"}


def any_window(plan: Plan) -> Iterator[Construct]:
    """Yield the constructs."""
    yield from _how_many()
    yield from _which()
    yield _dedupe(plan)
    yield _sensitive()


def _how_many() -> Iterator[Construct]:
    yield Construct(
        "require-any",
        "one event is enough",
        slots("a", "b"),
        {"require": "any", "window": _HOUR},
        {FIRST: [Sent("a-1")], BACK: [Sent("b-1")]},
        [Match("a-1"), Match("b-1")],
        {"matched": "a-1 b-1"},
    )
    yield Construct(
        "require-two",
        "two of three are enough, whichever they are, and a third waits for another match",
        slots("a", "b", "c"),
        {"require": 2, "window": _HOUR},
        {FIRST: [Sent("c-1")], BACK: [Sent("a-1")], LAST: [Sent("b-1")]},
        [Match("a-1 c-1")],
        {"matched": "a-1 c-1"},
        waiting="b-1",
    )
    yield Construct(
        "count",
        "three distinct events make a run, the oldest three, and a repeat does not count",
        {"a": {"count": 3}},
        {"window": _HOUR, "collect": "first"},
        {FIRST: [Sent("a-1", 1), Sent("a-2", 2), Sent("a-1", 1)], DOWN: [Sent("a-2", 2)], BACK: [Sent("a-3", 0)]},
        [Match("a-3 a-1 a-2")],
        {"matched": "a-1 a-2 a-3", "duplicate": "a-1 a-2"},
    )
    yield Construct(
        "sequence",
        "event times in slot order make a run, in whatever order they come; equal ones are in order",
        slots("a", "b"),
        {"order": "sequence", "window": _HOUR},
        {
            FIRST: [Sent("b-1", -5), Sent("b-2", 1), Sent("b-3", 0, "equal"), Sent("a-4", 1, "wrong")],
            DOWN: [Sent("b-4", 0, "wrong")],
            BACK: [Sent("a-2", 0), Sent("a-3", 0, "equal")],
        },
        [Match("a-2 b-2"), Match("a-3 b-3", "equal")],
        {"matched": "a-2 b-2 a-3 b-3", "superseded": "b-1"},
        waiting="a-4 b-4",
    )


def _which() -> Iterator[Construct]:
    yield Construct(
        "latest",
        "the newest is taken, and what is older has been passed over, also when it comes later",
        slots("a", "b"),
        {"window": _HOUR, "collect": "latest"},
        {
            FIRST: [Sent("a-1", 0), Sent("a-2", 1), Sent("a-4", 0, "soon"), Sent("b-4", 0, "soon")],
            DOWN: [Sent("a-5", -1, "soon")],
            BACK: [Sent("b-1")],
            LAST: [Sent("a-0", -1)],
        },
        [Match("a-2 b-1"), Match("a-4 b-4", "soon")],
        {"matched": "a-2 b-1 a-4 b-4", "superseded": "a-1 a-0 a-5"},
    )
    yield Construct(
        "first",
        "events pair off in their order",
        slots("a", "b"),
        {"window": _HOUR, "collect": "first"},
        {FIRST: [Sent("a-1", 0), Sent("a-2", 1)], BACK: [Sent("b-1"), Sent("b-2")]},
        [Match("a-1 b-1"), Match("a-2 b-2")],
        {"matched": "a-1 a-2 b-1 b-2"},
    )
    yield Construct(
        "run-id",
        "two matches of one business key are one run, also after a crash",
        slots("a", "b"),
        {"window": _HOUR},
        {
            FIRST: [Sent("a-1", payload={"day": "monday"})],
            THEN: [Sent("b-1")],
            DOWN: [Sent("a-2", 1, payload={"day": "monday"})],
            BACK: [Sent("b-2", 1)],
            LAST: [Sent("a-3", 2, payload={"day": "tuesday"}), Sent("b-3", 2)],
        },
        [Match("a-1 b-1", run_id="monday"), Match("a-3 b-3", run_id="tuesday")],
        {"matched": "a-1 b-1 a-2 b-2 a-3 b-3"},
        run={"id": "a.payload.day"},
        ran_already=1,
    )
    yield Construct(
        "suspended",
        "events of a suspended trigger do not wait for better days",
        slots("a", "b"),
        {"suspend": True, "window": _HOUR},
        {FIRST: [Sent("a-1")], BACK: [Sent("b-1")]},
        (),
        {"suspended": "a-1 b-1"},
    )


def _dedupe(plan: Plan) -> Construct:
    """a-2 is alone, and its end shows that the time is over for which a-1 is remembered."""
    return Construct(
        "dedupe",
        "a repeat is known for as long as `dedupe` says after its last use, and is another event after that",
        slots("a", "b"),
        {
            "window": {"within": "2s"},
            "grace": plan.short(less=4),
            "dedupe": plan.short(less=5),
            "collect": "first",
        },
        {
            FIRST: [Sent("a-1")],
            THEN: [Sent("b-1"), Sent("a-1")],
            DOWN: [Sent("a-1"), Sent("a-2", 1_000)],
            BACK: [Sent("a-1"), Sent("b-3")],
        },
        [Match("a-1 b-1"), Match("a-1 b-3")],
        {"matched": "a-1 b-1 a-1 b-3", "duplicate": "a-1 a-1", "expired": "a-2"},
        closes=("expired", "a-2"),
    )


def _sensitive() -> Construct:
    card: dict[str, Any] = {"number": SECRET, "owner": OWNER, "country": "DE"}
    where = 'payload.card.number != "" && payload.card.owner != "" && payload.card.country == "DE"'
    return Construct(
        "sensitive",
        "a run has the values of sensitive fields, and no decision has",
        {"a": {"key": "payload.card.number", "where": where}},
        {"window": {"batch": {"size": 2}}, "sensitive": ["card.number"]},
        {
            FIRST: [
                Sent("a-1", 0, payload={"card": card}),
                Sent("a-2", 1, payload={"card": {**card, "country": "FR"}}),
            ],
            BACK: [Sent("a-3", 2, payload={"card": card})],
        },
        [Match("a-1 a-3", SECRET)],
        {"matched": "a-1 a-3", "filtered": "a-2"},
    )
