"""The run limits of each trigger's definition in force.

A run is frozen when it is made, but its trigger's limits are not: an edit of ``run.limits`` also applies to runs that
wait already. So the submitter reads the definitions, too. For a trigger that is gone, the limits are those of the
definition that made the run, if it is still known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bridge.core.event import Micros
from bridge.core.evidence import REDACTED
from bridge.core.runs.limits import look_back
from bridge.core.runs.run import Run
from bridge.core.trigger import RunLimits
from bridge.stages.shared.definitions import Definitions


class LaneLimits(NamedTuple):
    """The limits of the runs of a trigger now.

    Attributes:
        definition: Hash of the definition whose limits these are.
        limits: How many may start.
        is_over: The trigger is gone or suspended, so the runs that a storm holds are not wanted any more.

    """

    definition: str
    limits: RunLimits
    is_over: bool = False


RuleOf = Callable[[str, str], LaneLimits]
"""Returns the limits for a trigger and the hash of a definition that made a run of it."""


class LimitsInForce:
    """The limits of all triggers.

    Args:
        definitions: The topic ``triggers`` as read so far.

    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions

    def refresh(self) -> bool:
        """Read ``triggers`` to its end; return True if new records were read.

        Raises:
            LogError: Kafka did not answer.

        """
        return self._definitions.refresh()

    def refresh_when_due(self) -> bool:
        """Call :meth:`refresh`, if the last time is long enough ago."""
        return self._definitions.refresh_when_due()

    def has_to_read_for(self, definition: str) -> bool:
        """Read ``triggers`` on, if a definition that made a run is not known yet; return True if new records were read.

        A router may have read further than this process. Without the definition the run would have no limits.
        """
        return definition not in self._definitions.known and self._definitions.refresh()

    def limits_of(self, trigger: str, made_by: str) -> LaneLimits:
        """Return the limits of a trigger's runs; ``made_by``: the definition hash of one of them."""
        in_force = self._definitions.in_force.get(trigger)
        if in_force is not None:
            return LaneLimits(in_force.hash, in_force.trigger.run.limits, in_force.trigger.suspend)
        known = self._definitions.known.get(made_by)
        return LaneLimits(made_by, known.trigger.run.limits if known is not None else RunLimits(), is_over=True)

    def redacted_key(self, run: Run) -> str:
        """Return the correlation key of a run as decisions may show it. That of an unknown trigger is hidden."""
        known = (self._definitions.known.get(run.definition_hash), self._definitions.in_force.get(run.trigger))
        is_known = known[0] is not None or known[1] is not None
        is_hidden = not is_known or any(definition.hides_key for definition in known if definition is not None)
        return REDACTED if run.key and is_hidden else run.key

    def looks_back(self, trigger: str) -> Micros:
        """Return how far back the limits of a trigger count; without a name the longest of all."""
        named = self._definitions.in_force.get(trigger)
        if named is not None:
            return look_back(named.trigger.run.limits)
        return max(
            (look_back(definition.trigger.run.limits) for definition in self._definitions.known.values()), default=0
        )
