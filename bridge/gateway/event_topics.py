"""Which topic carries an event: its own, or one that names share by pattern; and what to do where there is none.

The topics that exist are asked for every half minute, and when a name is not among them. A publisher cannot reach the
bridge's own topics, nor Kafka's. Creating stops at a number of topics in the cluster, so that whoever may publish
cannot fill it; the number counts all of them, so it holds for any number of gateways, and through restarts.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from bridge.gateway.answers import NOT_RECORDED, Answer, malformed, no_topic
from bridge.gateway.background import run_in_background
from bridge.kafka.log import Admin, LogError, TopicSpec
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.settings.groups import ControllerSettings
from flowbridge_sdk.errors import BadNameError
from flowbridge_sdk.shared_topics import SharedTopics

_REFRESH_S = 30.0
_PACE_S = 1.0  # between two questions to Kafka, however many names are unknown
_TRIES = 5  # to create a topic: a Kafka that refuses must not fill the gateway with those who wait
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TopicRules:
    """What the settings say of topics.

    Attributes:
        internal_prefix: What the bridge's own topics begin with.
        shared: Topics that names share.
        new_topic: How a name's own topic that is missing is created; None to refuse its events.
        most: The number of topics in the cluster at which no more of those are created.
        new_shared: How a shared topic that is missing is created, which no publisher can name; None to refuse.

    """

    internal_prefix: str
    shared: SharedTopics = field(default_factory=SharedTopics)
    new_topic: Callable[[str], TopicSpec] | None = None
    most: int = ControllerSettings.topic_bound
    new_shared: Callable[[str], TopicSpec] | None = None

    def topic_for(self, name: str) -> str | Answer:
        """Return the topic of a name, or why it can have none."""
        try:
            topic = self.shared.topic_for(name)
        except BadNameError as error:
            return malformed(str(error))
        if topic.startswith((self.internal_prefix, "__")):
            return no_topic(f"{name!r} is not for events: the name begins as the bridge's or Kafka's own topics do")
        return topic


class EventTopics:
    """The topics of one cluster, as last heard. For one event loop.

    Args:
        admin: Asks Kafka; called in threads.
        rules: What the settings say.
        clock: Seconds that only go forward.

    """

    def __init__(self, admin: Admin, rules: TopicRules, clock: Callable[[], float] = time.monotonic) -> None:
        self._admin = admin
        self._rules = rules
        self._clock = clock
        self._known: Mapping[str, int] = {}
        self._asked = float("-inf")
        self._lock = asyncio.Lock()
        self._question: tuple[float, asyncio.Future[dict[str, int]]] | None = None

    def at_once(self, name: str) -> str | Answer | None:
        """Return the topic of a name, or why it can have none; None if Kafka has to be asked first."""
        topic = self._rules.topic_for(name)
        return topic if isinstance(topic, Answer) or topic in self._known else None

    async def find(self, name: str, deadline: float) -> str | Answer:
        """Return the topic of a name, created if need be, or why there is none.

        While Kafka is away it waits, until ``deadline`` (of the loop's clock).
        """
        topic = self._rules.topic_for(name)
        if isinstance(topic, Answer):
            return topic
        try:
            async with asyncio.timeout_at(deadline):
                return await self._found(topic, name)
        except TimeoutError:
            return NOT_RECORDED

    async def refresh_when_due(self) -> None:
        """Ask for the topics if the last answer is old; Kafka may be away."""
        if self._clock() - self._asked >= _REFRESH_S and not self._lock.locked():
            async with self._lock:
                await self._ask()

    async def _found(self, topic: str, name: str) -> str | Answer:
        """Decide by an answer of Kafka that is younger than the question: somebody may have made the topic just now."""
        came = self._clock()
        for _ in range(_TRIES):
            async with self._lock:
                while topic not in self._known and self._asked < came:
                    await asyncio.sleep(max(self._asked + _PACE_S - self._clock(), 0.0))
                    if not await self._ask():
                        await asyncio.sleep(_PACE_S)
                found = topic if topic in self._known else await self._missing(topic, name)
            if found is not None:
                return found
            await asyncio.sleep(_PACE_S)
        return NOT_RECORDED

    async def _ask(self) -> bool:
        """Ask, or wait for the answer to a question that somebody asked and then gave up: one thread is enough."""
        if self._question is None:
            self._question = self._clock(), run_in_background(self._admin.topics)
        asked, answer = self._question
        try:
            self._known = await asyncio.shield(answer)
        except LogError as error:
            _log.warning("Kafka does not tell its topics: %s", error, extra=ABOUT_KAFKA)
            return False
        finally:
            if answer.done():
                self._question = None
        self._asked = asked
        return True

    async def _missing(self, topic: str, name: str) -> str | Answer | None:
        """Return the topic made, why it is not, or None if Kafka could not make it now."""
        is_shared = topic in self._rules.shared.topics
        new_topic = self._rules.new_shared if is_shared else self._rules.new_topic
        if new_topic is None:
            return no_topic(f"there is no topic for {name!r}, and new ones are not made")
        if not is_shared and len(self._known) >= self._rules.most:
            return no_topic(
                f"there is no topic for {name!r}, and no more are made: the cluster has {len(self._known)} topics "
                f"(setting topic_bound: {self._rules.most})"
            )
        try:
            await run_in_background(partial(self._admin.create, [new_topic(topic)]))
        except LogError as error:
            _log.warning("topic %s cannot be created: %s", topic, error, extra=ABOUT_KAFKA)
            return None
        self._known = {**self._known, topic: 1}
        return topic
