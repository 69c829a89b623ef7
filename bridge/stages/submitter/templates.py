"""The WorkflowTemplates that runs need: what was read of each, and which ones cannot be read.

A template that is missing or cannot be read is asked for again ever more slowly, once for all runs that wait for it.
Such runs are put off until that moment. The first of them asks, and the others learn of its answer.

All methods but :meth:`Templates.read` and :meth:`Templates.lately` are called by the stage loop alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.backoff import PROMPT, SLOW
from bridge.argo.workflow import WorkflowTemplate
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.runs.run import Run

logger = logging.getLogger(__name__)

TEMPLATE_LASTS: Micros = 10 * SECOND
"""How long a WorkflowTemplate that was read is taken for true."""

_FORGOTTEN: Micros = 15 * MINUTE  # after this no run waits for a template any more that was due to be asked for

_Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A WorkflowTemplate that is missing or cannot be read.

    Attributes:
        reason: Why, and what a person can do.
        passes: It passes by itself.
        is_absent: The API server says that there is none.

    """

    reason: str
    passes: bool
    is_absent: bool = False


@dataclass(slots=True)
class _Failing:
    answer: Missing
    failures: int
    due: Micros


class Templates:
    """What is known of WorkflowTemplates.

    Args:
        api: The cluster.
        clock: The process's clock.
        random: Where jitter comes from.

    """

    def __init__(self, api: WorkflowApi, clock: Callable[[], Micros], random: Random) -> None:
        self._api = api
        self._clock = clock
        self._random = random
        self._known: dict[_Key, tuple[Micros, WorkflowTemplate]] = {}
        self._unanswered: dict[_Key, Micros] = {}  # when no template came back, for runs that can do without it
        self._failing: dict[_Key, _Failing] = {}

    def known(self, run: Run) -> WorkflowTemplate | None:
        """Return the template of a run if it was read lately."""
        read = self._known.get((run.namespace, run.template))
        return read[1] if read is not None and self._clock() - read[0] <= TEMPLATE_LASTS else None

    def read(self, run: Run) -> WorkflowTemplate | Missing:
        """Return the template of a run, from the cluster unless it was read lately. For workers, too."""
        known = self.known(run)
        if known is not None:
            return known
        found = self._api.template(run.namespace, run.template)
        name = f"{run.namespace}/{run.template}"
        if isinstance(found, Unavailable):
            return Missing(f"the WorkflowTemplate {name} cannot be read: {found.reason}", found.passes)
        if found is None:
            return Missing(f"there is no WorkflowTemplate {name}", passes=False, is_absent=True)
        self._known[run.namespace, run.template] = (self._clock(), found)
        return found

    def lately(self, run: Run) -> WorkflowTemplate | None:
        """Return the template of a run that can do without it; None if there is none or it cannot be read.

        For workers. It is asked for every :data:`TEMPLATE_LASTS` at most, so that it costs such runs nothing.
        """
        key = (run.namespace, run.template)
        asked = self._unanswered.get(key)
        if asked is not None and 0 <= self._clock() - asked <= TEMPLATE_LASTS:
            return None
        found = self.read(run)
        if isinstance(found, Missing):
            self._unanswered[key] = self._clock()
            return None
        self._unanswered.pop(key, None)
        return found

    def failing(self, run: Run, now: Micros) -> tuple[Missing, Micros] | None:
        """Return why a run waits for its template and when it is asked for again; None if it may be asked for now."""
        failing = self._failing.get((run.namespace, run.template))
        return None if failing is None or failing.due <= now else (failing.answer, failing.due)

    def failed(self, run: Run, answer: Missing, now: Micros) -> Micros:
        """Note that the template of a run cannot be read; return when it is asked for again."""
        key = (run.namespace, run.template)
        failing = self._failing.get(key)
        failures = 1 if failing is None or failing.answer.passes != answer.passes else failing.failures + 1
        delay = (PROMPT if answer.passes else SLOW).delay(failures, self._random)
        if failing is None and not answer.passes:  # what passes is the cluster's trouble, and said as that
            logger.warning("%s. The runs that need it wait; it is asked for again with growing pauses", answer.reason)
        self._failing[key] = _Failing(answer, failures, now + round(delay * SECOND))
        return self._failing[key].due

    def succeeded(self, run: Run) -> None:
        """Note that the template of a run was read."""
        failing = self._failing.pop((run.namespace, run.template), None)
        if failing is not None and not failing.answer.passes:
            logger.warning("the WorkflowTemplate %s/%s can be read again", run.namespace, run.template)

    def unread(self, now: Micros) -> list[str]:
        """Return the templates, as ``namespace/name``, that runs wait for."""
        for key, failing in list(self._failing.items()):
            if now - failing.due > _FORGOTTEN:
                del self._failing[key]
        return [f"{namespace}/{name}" for namespace, name in self._failing]
