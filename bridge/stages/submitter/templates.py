"""The WorkflowTemplates that runs need: those that were read, and those that cannot be read.

A template that is missing or cannot be read is asked for again with growing pauses, once for all runs that wait for it.
Such runs are put off until that moment. The first of them asks, and its answer holds for the others.

Workers call :meth:`Templates.read` and :meth:`Templates.lacking`. Only the stage loop calls the other methods.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from random import Random

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.argo.backoff import PROMPT, SLOW
from bridge.argo.workflow import WorkflowTemplate
from bridge.core.event import MINUTE, SECOND, Micros
from bridge.core.runs.parameters import ParameterError, check_size, default_parameters
from bridge.core.runs.run import Run

logger = logging.getLogger(__name__)

TEMPLATE_LASTS: Micros = 10 * SECOND
"""How long a WorkflowTemplate counts as current after it was read."""

_FORGOTTEN: Micros = 15 * MINUTE  # after this no run waits for a template any more that was due to be asked for

_Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class TemplateUnread:
    """The answer about a WorkflowTemplate that is missing or cannot be read.

    Attributes:
        reason: The cause, and the remedy.
        passes: It passes by itself.
        is_absent: The API server says that there is none.

    """

    reason: str
    passes: bool
    is_absent: bool = False


@dataclass(slots=True)
class _Failing:
    answer: TemplateUnread
    failures: int
    due: Micros


class Templates:
    """The WorkflowTemplates as far as they were read.

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

    def read(self, run: Run) -> WorkflowTemplate | TemplateUnread:
        """Return the template of a run, from the cluster unless it was read lately. For workers, too."""
        known = self.known(run)
        if known is not None:
            return known
        template = self._api.template(run.namespace, run.template)
        name = f"{run.namespace}/{run.template}"
        if isinstance(template, Unavailable):
            return TemplateUnread(f"the WorkflowTemplate {name} cannot be read: {template.reason}", template.passes)
        if template is None:
            return TemplateUnread(f"there is no WorkflowTemplate {name}", passes=False, is_absent=True)
        self._known[run.namespace, run.template] = (self._clock(), template)
        return template

    def resolve_now(self, run: Run) -> Run | None:
        """Return the run with its parameters, if they need no question to the cluster; else None.

        Raises:
            ParameterError: The payload has no parameters that may be passed on, or lacks one that is required.

        """
        if run.parameters is not None:
            return run
        template = self.known(run)
        if template is None:
            return None
        names = [parameter.name for parameter in template.parameters]
        parameters = default_parameters(names, run.payload or "{}", allow_template_tags=run.allow_template_tags)
        lacking = _lacking(template, {name for name, _ in parameters})
        if lacking:
            raise ParameterError(
                f"{lacking}, and the event's payload has no such field. Publish the event with it, give it a value in "
                "the template, or map it in the trigger"
            )
        check_size(parameters)
        return run._replace(parameters=parameters, payload=None)

    def lacking(self, run: Run) -> str:
        """Return why the Workflow of a run would fail at once: parameters that its template requires; else nothing.

        For workers. The run has its parameters and can do without its template, so one that cannot be read stops
        nothing. It is asked for every :data:`TEMPLATE_LASTS` at most, so that it costs such runs nothing.
        """
        key = (run.namespace, run.template)
        asked = self._unanswered.get(key)
        if asked is not None and 0 <= self._clock() - asked <= TEMPLATE_LASTS:
            return ""
        template = self.read(run)
        if isinstance(template, TemplateUnread):
            self._unanswered[key] = self._clock()
            return ""
        self._unanswered.pop(key, None)
        lacking = _lacking(template, {name for name, _ in run.parameters or ()})
        advice = "and the trigger's mapping does not fill it. Map it in the trigger, or give it a value in the template"
        return f"{lacking}, {advice}" if lacking else ""

    def failing(self, run: Run, now: Micros) -> tuple[TemplateUnread, Micros] | None:
        """Return why a run waits for its template and when it is asked for again; None if it may be asked for now."""
        failing = self._failing.get((run.namespace, run.template))
        return None if failing is None or failing.due <= now else (failing.answer, failing.due)

    def failed(self, run: Run, answer: TemplateUnread, now: Micros) -> Micros:
        """Note that the template of a run cannot be read; return when it is asked for again."""
        key = (run.namespace, run.template)
        failing = self._failing.get(key)
        failures = 1 if failing is None or failing.answer.passes != answer.passes else failing.failures + 1
        delay = (PROMPT if answer.passes else SLOW).delay(failures, self._random)
        if failing is None and not answer.passes:  # trouble that passes is the cluster's, and logged as that
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


def _lacking(template: WorkflowTemplate, given: Collection[str]) -> str:
    """Return the parameters that a template requires and a run lacks, as the beginning of a sentence; else nothing."""
    lacking = [
        parameter.name for parameter in template.parameters if not parameter.has_default and parameter.name not in given
    ]
    texts = ", ".join([f"the parameter {name!r}" for name in lacking])
    return f"the WorkflowTemplate {template.namespace}/{template.name} requires {texts}" if lacking else ""
