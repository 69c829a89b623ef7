"""``flowbridge explain``: what happened to events, and why a run started or did not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.cli.explain.telling import story_lines
from bridge.cli.naming import bound, identity_of
from bridge.cli.output import Output
from bridge.cli.past import ReadingProgress
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.installation import kafka
from bridge.cli.wiring.process import replay_dependencies
from bridge.errors import ExitCode, KubernetesUnreachableError, UsageError
from bridge.explain.explainer import Explainer
from bridge.explain.question_reader import Question
from bridge.explain.run_stories import PhaseOf
from bridge.explain.sentences import GONE, NOT_BEGUN_BY_ARGO
from bridge.replay.request import Bound
from bridge.settings.settings import Settings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock


def execute(
    *,
    trigger: str,
    event: str | None,
    key: str | None,
    run: str | None,
    start: str | None,
    end: str | None,
    limit: int,
    settings: Settings,
    output: Output,
) -> int:
    """Answer the question, and print the story."""
    question = asked(trigger, start, end, limit, settings, event=event, key=key, run=run)
    with explaining(settings) as explainer:
        story = explainer.explain(question)
    output.result(list(story_lines(story)), story.plain())
    return ExitCode.OK


def asked(
    trigger: str,
    start: str | None,
    end: str | None,
    limit: int,
    settings: Settings,
    *,
    event: str | None,
    key: str | None,
    run: str | None = None,
) -> Question:
    """Return the question that options ask.

    Raises:
        UsageError: They ask about several things, or name a bound wrongly.

    """
    about = {"--event": event, "--key": key, "--run": run}
    given = [option for option, value in about.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} together", "give only one of them")
    now = wall_clock()
    return Question(
        identity_of(trigger, settings),
        event,
        key,
        run,
        bound(start, now) if start else Bound(),
        bound(end, now) if end else Bound(),
        limit,
    )


@contextmanager
def explaining(settings: Settings) -> Iterator[Explainer]:
    """Connect, read the triggers, and yield what explains them; show meanwhile how far reading has come."""
    with kafka(settings) as (log, topics):
        definitions = Definitions(log, topics.triggers, steady_clock)
        definitions.refresh()
        reading = ReadingProgress()
        yield Explainer(replay_dependencies(settings), definitions, _phases(settings), reading.tell)
        reading.end()


def _phases(settings: Settings) -> PhaseOf:
    """Return how the phase of a Workflow is asked for; nothing is known of any where no cluster answers."""
    try:
        api: WorkflowApi | None = connect_cluster(settings)
    except KubernetesUnreachableError:
        api = None

    def phase_of(namespace: str, name: str) -> str:
        if api is None:
            return ""
        found = api.find(namespace, name)
        if isinstance(found, Unavailable):
            return ""
        if found is None:
            return GONE
        return str((found.manifest.get("status") or {}).get("phase") or NOT_BEGUN_BY_ARGO)

    return phase_of
