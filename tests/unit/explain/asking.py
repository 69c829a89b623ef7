"""Questions in the small world of the stages."""

from __future__ import annotations

from typing import Any

from bridge.argo.api import Unavailable
from bridge.explain.explainer import Explainer
from bridge.explain.question_reader import Question
from bridge.explain.sentences import GONE, NOT_BEGUN_BY_ARGO
from bridge.explain.story import EventStory, Story
from bridge.kafka.memory.log import MemoryLog
from bridge.replay.request import Bound
from bridge.stages.shared.definitions import Definitions
from unit.replay.replaying import around
from unit.stages.world import World


def explainer(world: World) -> Explainer:
    """Return what answers questions in this world."""
    definitions = Definitions(MemoryLog(world.broker), world.topics.triggers, lambda: world.now)
    definitions.refresh()

    def phase_of(namespace: str, name: str) -> str:
        found = world.api.find(namespace, name)
        if isinstance(found, Unavailable):
            return ""
        if found is None:
            return GONE
        return str((found.manifest.get("status") or {}).get("phase") or NOT_BEGUN_BY_ARGO)

    return Explainer(around(world), definitions, phase_of)


def ask(world: World, trigger: str = "default/ship", **question: Any) -> Story:
    """Return the answer to a question."""
    question.setdefault("start", Bound(text="earliest"))
    return explainer(world).explain(Question(trigger, **question))


def about(world: World, id_: str, **question: Any) -> EventStory:
    """Return the story of an event, by its id."""
    story = ask(world, event=id_, **question)
    (found,) = [event for event in story.events if event.is_asked]
    return found


def reasons(event: EventStory) -> list[tuple[str, str, str]]:
    """Return slot, reason and knowledge of each decision about an event."""
    return [(decision.slot, decision.reason, decision.known) for decision in event.decisions]


def overview(world: World, trigger: str = "default/ship") -> Story:
    """Return what is said about a trigger itself."""
    return explainer(world).explain(Question(trigger))
