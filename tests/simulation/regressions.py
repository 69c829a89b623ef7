"""What the simulator has found in the product: scripts that failed once, as small as they came to be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from bridge.core.event import SECOND
from bridge.core.trigger import RunLimits, RunPlan, Schedule, Slot, Trigger, WindowPlan
from simulation.conditions import BRIEF
from simulation.random_triggers import TABLE
from simulation.script import Act, Script

_PAIR = TABLE["pair"].make(Random(0))
_TOPICS = tuple(slot.event for slot in _PAIR.slots)


_ONE_IN_TWELVE = RunPlan("work", "default", (("key", "it.payload.k"),), limits=RunLimits(rate=1, per=12 * SECOND))
_SLOW = Trigger("default", "slow", (Slot("sent", "it"),), _ONE_IN_TWELVE, require=1, start_from="earliest")
_KEYED = Trigger(
    "default",
    "t1",
    tuple([Slot(name, name, key="payload.k") for name in ("sent", "order")]),
    RunPlan("work", "default", (("key", '"fixed"'),)),
    require=2,
    window=WindowPlan("within", 12 * SECOND),
    grace=SECOND,
    dedupe=3 * SECOND,
    start_from="earliest",
)
_PLAIN = Script(
    seed=0,
    partitions=1,
    triggers=(_PAIR,),
    seats=2,
    keeps_names=True,
    concurrency=1,
    bound=100,
    remembered=1000,
    lost_offsets="hold",
    slice=1000,
    step=SECOND // 2,
    acts=(),
)


def _script(*acts: Act, **fields: Any) -> Script:
    return _PLAIN._replace(acts=tuple(sorted(acts)), **fields)


def _event(at: int, topic: str, id_: str) -> Act:
    return Act(at * SECOND, "publish", (topic, id_, "k0", 5, 0, None, 0))


# One who was paused between fencing and claiming claimed under the membership of the moment, which Kafka does not
# refuse of one who was expelled: the offsets went back, and the wrong owner stood beside them.
_LATE_CLAIM = (
    _event(9, _TOPICS[0], "e2"),
    Act(9 * SECOND, "trap", (0, "matcher", "after ask", 2, "pause", 9 * SECOND)),
    Act(17_338_332, "trap", (1, "matcher", "before commit", 3, "kill", 0)),
    _event(19, _TOPICS[0], "e9"),
)

# A time whose ends were asked for before its topic was created again was waited for for ever.
_ENDS_OF_BEFORE = (
    _event(3, _TOPICS[0], "e6"),
    Act(8 * SECOND, "trap", (0, "router", "before poll", 1, "delay", 20 * SECOND)),
    Act(8 * SECOND, "trap", (1, "router", "before poll", 1, "delay", 20 * SECOND)),
    _event(9, _TOPICS[0], "e7"),
    Act(26 * SECOND, "recreate", (_TOPICS[0],)),
)

# A start that was tried again by an owner whose clock stood behind counted as earlier than it had been.
_SLOWER_CLOCK = (
    Act(0, "trap", (0, "submitter", "after ask", 1, "kill", 0)),
    Act(3_758_501, "publish", ("sent", "e2", "k1", 0, 0, None, 0)),
    Act(6_543_523, "trap", (0, "submitter", "before poll", 1, "kill", 0)),
    Act(7_368_003, "join", ()),
    Act(7_689_953, "publish", ("sent", "e17", "k1", 0, 1_433_919, None, 1)),
)

# One who was paused between reading definitions and reading windows found some of conditions that it did not know.
_WINDOWS_OF_LATER = (
    Act(0, "trap", (0, "matcher", "before restore", 1, "pause", 14 * SECOND)),
    Act(1_806_228, "join", ()),
    Act(10_768_518, "publish", ("order", "e6", "k1", 3, 665_124, None, 1)),
)

# What an edit cut off a calendar window had the run key of the whole window: what came later was `already-ran`.
_MINUTELY = Trigger(
    "default",
    "t0",
    tuple([Slot(name, name, key="payload.k") for name in ("paid", "order")]),
    RunPlan("work", "default"),
    require=1,
    window=WindowPlan("until", schedule=Schedule(cron="* * * * *")),
    grace=3 * SECOND,
    dedupe=20 * SECOND,
    collect="all",
    start_from="earliest",
)
_CUT_WINDOW = (
    _event(16, "paid", "e9"),
    Act(20 * SECOND, "edit", (0, "where")),
    _event(31, "order", "e3"),
)

# A run that was put off while its owner's clock was an hour ahead waited for that hour.
_UNMAPPED = Trigger("default", "t0", (Slot("paid", "it"),), RunPlan("work", "default"), require=1)
_CLOCK_SET = (
    Act(9_721_263, "habit", ("no template", 8 * SECOND, "forbidden")),
    Act(10_817_803, "habit", ("wrong clock", 8 * SECOND, 0, 3_600 * SECOND)),
    Act(11_452_919, "publish", ("paid", "e3", "k0", 8, 4_657_645, None, 0)),
)

# Not found in the product: a router stands still while a trigger is suspended, so that a tick would overtake its event.
_PAYMENTS_FIRST = Trigger(
    "default",
    "t0",
    tuple([Slot(name, name, key="payload.k") for name in ("paid", "order")]),
    RunPlan("work", "default", (("key", '"fixed"'),)),
    require=2,
    window=WindowPlan("within", 6 * SECOND),
    grace=SECOND,
    dedupe=7 * SECOND,
    collect="first",
    start_from="earliest",
)
_ROUTER_BEHIND = (
    Act(2_850_726, "trap", (2, "router", "before poll", 1, "delay", 14 * SECOND)),
    Act(4_741_900, "publish", ("paid", "e17", "k0", 4, -10_443_313, -10_443_313, 0)),
    Act(4_850_726, "edit", (0, "suspend")),
)

# Nor this: a matcher that starts again reads the arrival of a definition that it has not heard of.
_MATCHER_BEHIND = (
    Act(0, "trap", (0, "matcher", "after ask", 1, "kill", 0)),
    Act(944_006, "publish", ("sent", "e9", "k3", 2, 11_169_493, None, 0)),
)

# Not found in the product either: filters of one topic that an index looks up, in every form that it knows.
_ASKED = ("payload.n == 1", "payload.n in [2, 3]", "payload.n == 2 && payload.k != 'k1'", "4.0 == payload.n", None)
_ASKING = tuple(
    Trigger("default", f"asks{number}", (Slot("order", "it", where=where),), RunPlan("work", "default"), 1)
    for number, where in enumerate((*_ASKED, "payload.n == 4", "event.source == 'nowhere'", "event.source == 'no'"))
)
_DIGITS = tuple(
    Act((3 + n) * SECOND, "publish", ("order", f"e{n}", f"k{n % 2}", n, 0, None, 0)) for n in (1, 2, 3, 4, 5, 2)
)

# Nor this: an event waits in a live window while a replay reads it, and would match it with one that came before the
# trigger.
_ADDED_LATER = replace(_PAYMENTS_FIRST, start_from="now")
_HELD_WHILE_REPLAYED = (
    Act(0, "edit", (0, "delete")),
    _event(14, "order", "e1"),
    Act(15 * SECOND, "edit", (0, "restore")),
    _event(18, "paid", "e2"),
    Act(20 * SECOND, "replay", ("one", 0, None, 1, None)),
    _event(22, "order", "e3"),
)

# Nor this: a router is expelled while it has records in hand, and its partition is another's.
_EXPELLED = (
    Act(10_791_137, "trap", (0, "router", "before poll", 1, "delay", 14 * SECOND)),
    Act(13_685_736, "publish", ("sent", "e5", "k0", 8, 0, None, 1)),
    Act(14_814_347, "stop", (0,)),
    Act(15_814_347, "trap", (0, "matcher", "before restore", 1, "pause", 9 * SECOND)),
    Act(27_812_354, "publish_in_transaction", ("order", "e1", "k0", 6, 562_267, None, 1, 12 * SECOND, True)),
    Act(27_896_322, "trap", (1, "matcher", "before commit", 3, "kill", 0)),
    Act(30_398_160, "publish", ("paid", "e9", "k0", 0, 24_165_513, 3_540_931, 1)),
)

# Nor this: a process dies between a create that was sent ahead and its commit, the next one right behind its claim, and
# the third takes so long that the Workflow has come and gone.
_BRIEFLY = RunPlan(BRIEF, "default", (("key", '"fixed"'),))
_SENT_AHEAD = (
    Act(8 * SECOND, "trap", (0, "submitter", "before outcome", 1, "kill", 0)),
    _event(9, "paid", "e1"),
    Act(10 * SECOND, "trap", (0, "submitter", "after commit", 1, "kill", 0)),
    Act(20 * SECOND, "trap", (0, "submitter", "before poll", 1, "delay", 20 * SECOND)),
)

REGRESSIONS: Mapping[str, Script] = {
    "a claim under a membership that is over": _script(*_LATE_CLAIM, seed=57),
    "a start that is tried again by a slower clock": _script(
        *_SLOWER_CLOCK, seed=15337, triggers=(_SLOW,), partitions=2, seats=1, step=SECOND // 4
    ),
    "windows of definitions that came later": _script(
        *_WINDOWS_OF_LATER, seed=21584, triggers=(_KEYED,), partitions=2, seats=1
    ),
    "a router that is behind a trigger's edit": _script(
        *_ROUTER_BEHIND, seed=132, triggers=(_PAYMENTS_FIRST,), partitions=2, seats=3
    ),
    "a matcher that is behind its router": _script(*_MATCHER_BEHIND, seed=289, triggers=(_KEYED,), step=SECOND // 4),
    "a calendar window that an edit cut": _script(*_CUT_WINDOW, triggers=(_MINUTELY,)),
    "a run that was put off by a clock that was set": _script(
        *_CLOCK_SET, seed=231, triggers=(_UNMAPPED,), seats=1, step=SECOND // 4
    ),
    "the ends of a topic that was created again": _script(*_ENDS_OF_BEFORE, seed=98),
    "an event that a live window holds while it is replayed": _script(
        *_HELD_WHILE_REPLAYED, triggers=(_ADDED_LATER,), seats=1
    ),
    "records in hand of a partition that is gone": _script(*_EXPELLED, seed=117, triggers=(_KEYED, _MINUTELY)),
    "a create that was sent ahead by a process that died": _script(
        *_SENT_AHEAD, seed=3, triggers=(replace(_UNMAPPED, run=_BRIEFLY),), seats=1, step=SECOND // 4
    ),
    "filters that ask for values": _script(*_DIGITS, triggers=_ASKING, seats=1),
}
"""By what was wrong."""
