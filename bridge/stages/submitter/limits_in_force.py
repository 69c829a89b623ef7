"""The run limits of each trigger's definition in force, what people hold, and whether a replay goes on.

A run is frozen when it is made, but its trigger's limits are not: an edit of ``run.limits`` also applies to runs that
wait already. So the submitter reads the definitions, too. For a trigger that is gone, the limits are those of the
definition that made the run, if it is still known.

The runs of a replay have no limits but those of the replay itself, which sends them at its own rate. They count for no
limit of their trigger. Once their replay is cancelled, those that wait are not wanted any more. What is held, is held
for them, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bridge.core.definition import Definition
from bridge.core.event import Micros
from bridge.core.evidence import REDACTED
from bridge.core.runs.holds import CLOCKS_APART, Hold, hold_on, storm_lifted
from bridge.core.runs.limits import look_back
from bridge.core.runs.run import REPLAY_LANE, Run
from bridge.core.trigger import RunLimits
from bridge.core.windows.kinds.all_kinds import kind_of_window
from bridge.core.windows.window import Frame
from bridge.stages.shared.definitions import Definitions
from bridge.stages.submitter.orders import Orders


class LaneLimits(NamedTuple):
    """The limits of the runs of a lane now.

    Attributes:
        definition: Hash of the definition whose limits these are.
        limits: How many may start.
        is_over: The trigger is gone or suspended, so the runs that a storm holds are not wanted any more.
        is_cancelled: The replay is cancelled, so none of the runs that wait is wanted any more.
        hold: What a person holds them by; None for nothing.
        storm_lifted: When a person last ended a storm of theirs; 0 for never.

    """

    definition: str
    limits: RunLimits
    is_over: bool = False
    is_cancelled: bool = False
    hold: Hold | None = None
    storm_lifted: Micros = 0


_ABSENT = 10_000  # hashes that are kept

RuleOf = Callable[[str, str], LaneLimits]
"""Returns the limits for a lane (:attr:`bridge.core.runs.run.Run.lane`) and the hash of a definition that made runs."""


class LimitsInForce:
    """The limits of all triggers and replays.

    Args:
        definitions: The topic ``triggers`` as read so far.
        orders: What people have ordered, as read so far.

    """

    def __init__(self, definitions: Definitions, orders: Orders) -> None:
        self._definitions = definitions
        self._orders = orders
        self._absent: set[str] = set()  # hashes of definitions that made runs and are not known any more

    def refresh(self) -> bool:
        """Read ``triggers``, ``replays`` and ``holds`` to their ends; return True if new records were read.

        Raises:
            LogError: Kafka did not answer.

        """
        has_new_orders = self._orders.refresh()
        return self._definitions.refresh() or has_new_orders

    def refresh_when_due(self) -> bool:
        """Call :meth:`refresh`, if the last time is long enough ago."""
        has_new_orders = self._orders.refresh_when_due()
        return self._definitions.refresh_when_due() or has_new_orders

    def has_to_read_for(self, definition: str) -> bool:
        """Read ``triggers`` on, if a definition that made a run is not known yet; return True if new records were read.

        A router may have read further than this process. Without the definition the run would have no limits. One that
        is not there now never comes: it was written before the run.
        """
        if definition in self._definitions.known or definition in self._absent:
            return False
        has_new_records = self._definitions.refresh()
        if definition not in self._definitions.known:
            if len(self._absent) >= _ABSENT:
                self._absent.clear()
            self._absent.add(definition)
        return has_new_records

    def limits_of(self, lane: str, made_by: str) -> LaneLimits:
        """Return the limits of the runs of a lane; ``made_by``: the definition hash of one of them."""
        trigger, _, replay = lane.partition(REPLAY_LANE)
        in_force, made = self._definitions.in_force.get(trigger), self._definitions.known.get(made_by)
        definition = in_force or made
        namespace = trigger.partition("/")[0] if definition is None else definition.trigger.run.namespace
        hold = hold_on(self._orders.holds, trigger, namespace)
        if replay:
            return LaneLimits(made_by, RunLimits(), is_cancelled=self._orders.is_cancelled(replay), hold=hold)
        lifted = storm_lifted(self._orders.holds, trigger)
        if in_force is not None:
            limits, is_suspended = in_force.trigger.run.limits, in_force.trigger.suspend
            return LaneLimits(in_force.hash, limits, is_suspended, hold=hold, storm_lifted=lifted)
        limits = made.trigger.run.limits if made is not None else RunLimits()
        return LaneLimits(made_by, limits, is_over=True, hold=hold, storm_lifted=lifted)

    def is_cancelled(self, run: Run) -> bool:
        """Return whether a run belongs to a replay that is cancelled."""
        return bool(run.replay) and self._orders.is_cancelled(run.replay)

    def progress(self) -> Mapping[tuple[str, str], tuple[int, int]]:
        """Return, by name and state of each replay in progress, how many runs it has planned, and dealt with."""
        return self._orders.progress()

    def definition(self, definition_hash: str) -> Definition | None:
        """Return a definition that made runs; None if it is not known."""
        return self._definitions.known.get(definition_hash)

    def frame(self, run: Run) -> Frame | None:
        """Return the calendar window of a run's match; None for other windows, and if its definition is not known."""
        definition = self._definitions.known.get(run.definition_hash)
        if definition is None or definition.trigger.window is None:
            return None
        trigger = definition.trigger
        return kind_of_window(trigger).frame(trigger, run.event_time, is_empty=not run.events)

    def redacted_key(self, run: Run) -> str:
        """Return the correlation key of a run as decisions may show it. That of an unknown trigger is hidden."""
        known = (self._definitions.known.get(run.definition_hash), self._definitions.in_force.get(run.trigger))
        is_known = known[0] is not None or known[1] is not None
        is_hidden = not is_known or any(definition.hides_key for definition in known if definition is not None)
        return REDACTED if run.key and is_hidden else run.key

    def looks_back(self, lane: str, now: Micros) -> Micros:
        """Return how far back the limits of a lane, and what a person lets start of it, count at a time.

        Without a name the longest of all is returned.
        """
        if REPLAY_LANE in lane:
            return 0
        orders = self._orders.holds.items()
        in_part = [now - order.at + CLOCKS_APART for scope, order in orders if order.allowed and lane in ("", scope)]
        if lane in self._definitions.in_force:
            known = [self._definitions.in_force[lane]]
        else:
            known = list(self._definitions.known.values())
        return max([*in_part, *(look_back(definition.trigger.run.limits) for definition in known)], default=0)
