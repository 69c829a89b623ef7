"""Stories of windows in which events gather: sessions, batches, and what settles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.constructs import BACK, DOWN, FIRST, LAST, THEN, Construct, Match, Plan, Sent, slots

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "4711-0815-secret"
OWNER = "Alma Secretive"

SENSITIVE = "card.owner"
"""What the setting names, for all triggers; the one of the story names the card's number."""

UNDISTURBED = "settle-alone"
"""Of its topic nothing waits in Kafka while the bridge is dead, so that its time goes on without a router."""


def gathering(plan: Plan) -> Iterator[Construct]:
    """Yield the stories."""
    yield from _sessions(plan)
    yield from _batches(plan)
    yield from _settling(plan)
    yield _sensitive()


def _sessions(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "session",
        "an event between two sessions makes them one, also when it comes last; what comes to a closed one is late",
        slots("a"),
        {"window": {"session": "5s"}, "grace": plan.short(less=13)},
        {
            FIRST: [Sent("a-1", 0), Sent("a-2", 8), Sent("a-4", 0, "two"), Sent("a-5", 5.000001, "two")],
            DOWN: [Sent("a-3", 4)],
            BACK: [Sent("a-6", 0)],
        },
        [Match("a-1 a-3 a-2"), Match("a-4", "two"), Match("a-5", "two")],
        {"matched": "a-1 a-2 a-3 a-4 a-5", "late": "a-6"},
        closes=("matched", "a-3"),
    )
    yield Construct(
        "session-capped",
        "`maxWait` after its first event reached us a session ends that would go on",
        slots("a"),
        {"window": {"session": plan.short(less=5), "maxWait": plan.short(less=5)}, "grace": "1h"},
        {FIRST: [Sent("a-1")], DOWN: [Sent("a-2", 1)]},
        [Match("a-1 a-2")],
        {"matched": "a-1 a-2"},
    )


def _batches(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "batch-size",
        "so many are a batch, in the order in which they came, across a crash",
        slots("a", "b"),
        {"window": {"batch": {"size": 3}}, "require": "any"},
        {
            FIRST: [Sent("a-1", 7)],
            THEN: [Sent("b-1"), Sent("a-1", 7)],
            DOWN: [Sent("a-2", 3)],
            BACK: [Sent("b-2")],
            LAST: [Sent("b-3"), Sent("b-4"), Sent("b-5")],
        },
        [Match("a-2 a-1 b-1"), Match("b-2 b-3 b-4")],
        {"matched": "a-1 b-1 a-2 b-2 b-3 b-4", "duplicate": "a-1"},
        waiting="b-5",
    )
    yield Construct(
        "batch-wait",
        "a batch that is not full goes when it has waited, with what came while the bridge was down",
        slots("a"),
        {"window": {"batch": {"size": 3, "wait": plan.short(less=5)}}},
        {
            FIRST: [Sent("a-1", 0, "full"), Sent("a-2", 1, "full"), Sent("a-4", 0, "short")],
            DOWN: [Sent("a-3", 2, "full"), Sent("a-5", 1, "short")],
        },
        [Match("a-1 a-2 a-3", "full"), Match("a-4 a-5", "short")],
        {"matched": "a-1 a-2 a-3 a-4 a-5"},
    )


def _settling(plan: Plan) -> Iterator[Construct]:
    yield Construct(
        "settle",
        "what came until it was quiet is one run",
        slots("a"),
        {"window": {"settle": plan.short(less=8)}},
        {FIRST: [Sent("a-1")], THEN: [Sent("a-1")], DOWN: [Sent("a-2", 1)]},
        [Match("a-1 a-2")],
        {"matched": "a-1 a-2", "duplicate": "a-1"},
    )
    yield Construct(
        UNDISTURBED,
        "where nothing waits in Kafka time goes on, also without a router",
        slots("a"),
        {"window": {"settle": plan.short(less=8)}},
        {FIRST: [Sent("a-1")], BACK: [Sent("a-2")]},
        [Match("a-1"), Match("a-2")],
        {"matched": "a-1 a-2"},
    )
    yield Construct(
        "settle-latest",
        "of what came until it was quiet the newest runs",
        slots("a", "b"),
        {"window": {"settle": plan.short(less=8), "maxWait": plan.short(less=5)}, "collect": "latest"},
        {
            FIRST: [Sent("a-1", 1), Sent("b-1"), Sent("a-3", 0, "alone")],
            DOWN: [Sent("a-2", 0), Sent("b-2", 1)],
        },
        [Match("a-1 b-2")],
        {"matched": "a-1 b-2", "superseded": "a-2 b-1", "expired": "a-3"},
    )
    yield Construct(
        "max-wait",
        "`maxWait` after its first event a window ends, whether or not it is quiet",
        slots("a"),
        {"window": {"settle": plan.short(less=5), "maxWait": plan.short(less=5)}},
        {FIRST: [Sent("a-1")], THEN: [Sent("a-2", 1)], DOWN: [Sent("a-3", 2)]},
        [Match("a-1 a-2 a-3")],
        {"matched": "a-1 a-2 a-3"},
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
