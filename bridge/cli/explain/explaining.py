"""``flowbridge explain``: what happened to events, and why a run started or did not."""

from __future__ import annotations

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.cli.explain.telling import story_lines
from bridge.cli.output import Output
from bridge.cli.replay.carrying_out import kafka
from bridge.cli.replay.new import ReadingProgress, bound
from bridge.cli.wiring import connect_cluster, replay_dependencies
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
    if sum(part is not None for part in (event, key, run)) > 1:
        raise UsageError("several of --event, --key and --run", "ask about one of them")
    now = wall_clock()
    question = Question(
        trigger if "/" in trigger else f"{settings.namespace}/{trigger}",
        event,
        key,
        run,
        bound(start, now) if start else Bound(),
        bound(end, now) if end else Bound(),
        limit,
    )
    with kafka(settings) as (log, topics):
        definitions = Definitions(log, topics.triggers, steady_clock)
        definitions.refresh()
        reading = ReadingProgress()
        explainer = Explainer(replay_dependencies(settings), definitions, phases(settings), reading.tell)
        story = explainer.explain(question)
        reading.end()
    output.result(list(story_lines(story)), story.plain())
    return ExitCode.OK


def phases(settings: Settings) -> PhaseOf:
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
