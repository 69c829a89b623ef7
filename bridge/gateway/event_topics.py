"""The topic of an event: its own, or one that names share by pattern. If it is missing, it is created, or refused.

The topics that exist are asked for every half minute, and when a name is not among them. A publisher cannot reach the
bridge's own topics, nor Kafka's. Creating stops at a number of topics in the cluster, so that publishers cannot fill
it. The number counts all topics, so it holds for any number of gateways, and through restarts.

Kafka's client blocks up to 15 s for a broker that is away, and cannot be told to stop. So Kafka is asked in daemon
threads, outside the event loop: the end of the process does not wait for them. A thread of asyncio's own would keep the
process for as long, after all requests were answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from bridge.gateway.answers import NOT_RECORDED, Answer, malformed, no_topic
from bridge.kafka.log import Admin, LogError, TopicSpec
from bridge.kafka.outage import ABOUT_KAFKA
from bridge.settings.groups import ControllerSettings
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.errors import BadNameError

_REFRESH_S = 30.0
_PACE_S = 1.0  # between two questions to Kafka, however many names are unknown
_TRIES = 5  # to create a topic: a Kafka that refuses must not fill the gateway with waiting requests
_log = logging.getLogger(__name__)
_T = TypeVar("_T")


def run_in_background(work: Callable[[], _T]) -> asyncio.Future[_T]:
    """Return the result of ``work``, or raise its exception. If the caller is cancelled, the work goes on."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[_T] = loop.create_future()

    def settle(result: _T | None, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)  # type: ignore[arg-type] # without an error it is work's own

    def run() -> None:
        result: _T | None = None
        failure: BaseException | None = None
        try:
            result = work()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failure)

    threading.Thread(target=run, name="gateway-asks", daemon=True).start()
    return answer


@dataclass(frozen=True)
class TopicRules:
    """The settings about topics.

    Attributes:
        internal_prefix: The beginning of the names of the bridge's own topics.
        shared: Topics that names share.
        new_topic: Specifies a name's own topic that is missing, to create it; None to refuse its events.
        most: The number of topics in the cluster at which no more of those are created.
        new_shared: Specifies a shared topic that is missing, which no publisher can name; None to refuse its events.

    """

    internal_prefix: str
    shared: SharedTopics = field(default_factory=SharedTopics)
    new_topic: Callable[[str], TopicSpec] | None = None
    most: int = ControllerSettings.topic_bound
    new_shared: Callable[[str], TopicSpec] | None = None

    def topic_for(self, name: str) -> str | Answer:
        """Return the topic of a name, or the refusal that says why it can have none."""
        try:
            topic = self.shared.topic_for(name)
        except BadNameError as error:
            return malformed(str(error))
        if topic.startswith((self.internal_prefix, "__")):
            return no_topic(f"{name!r} is not for events: the name begins as the bridge's or Kafka's own topics do")
        return topic


class EventTopics:
    """The topics of one cluster, as Kafka last listed them. For one event loop.

    Args:
        admin: Asks Kafka; called in threads.
        rules: The settings.
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
        """Return the topic of a name, or the refusal; None if Kafka must be asked first."""
        topic = self._rules.topic_for(name)
        return topic if isinstance(topic, Answer) or topic in self._known else None

    async def find(self, name: str, deadline: float) -> str | Answer:
        """Return the topic of a name, created if it is missing, or the refusal.

        While Kafka is away it waits, until ``deadline`` (of the loop's clock).
        """
        topic = self._rules.topic_for(name)
        if isinstance(topic, Answer):
            return topic
        try:
            async with asyncio.timeout_at(deadline):
                return await self._ensured(topic, name)
        except TimeoutError:
            return NOT_RECORDED

    async def refresh_when_due(self) -> None:
        """Ask for the topics if the last answer is old; Kafka may be away."""
        if self._clock() - self._asked >= _REFRESH_S and not self._lock.locked():
            async with self._lock:
                await self._ask()

    async def _ensured(self, topic: str, name: str) -> str | Answer:
        """Return a topic that exists, or the refusal.

        The topics must have been listed after this call: the topic may have been created just now.
        """
        called = self._clock()
        for _ in range(_TRIES):
            async with self._lock:
                while topic not in self._known and self._asked < called:
                    await asyncio.sleep(max(self._asked + _PACE_S - self._clock(), 0.0))
                    if not await self._ask():
                        await asyncio.sleep(_PACE_S)
                result = topic if topic in self._known else await self._create(topic, name)
            if result is not None:
                return result
            await asyncio.sleep(_PACE_S)
        return NOT_RECORDED

    async def _ask(self) -> bool:
        """List the topics, or wait for a question whose caller has given it up: one thread is enough."""
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

    async def _create(self, topic: str, name: str) -> str | Answer | None:
        """Return the topic after it was created, the refusal, or None if Kafka could not create it now."""
        is_shared = topic in self._rules.shared.topics
        new_topic = self._rules.new_shared if is_shared else self._rules.new_topic
        if new_topic is None:
            return no_topic(f"there is no topic for {name!r}, and new ones are not made")
        if not is_shared and len(self._known) >= self._rules.most:
            return no_topic(
                f"there is no topic for {name!r}, and no more are made: the cluster has {len(self._known)} topics "
                f"(setting topic_bound: {self._rules.most})"
            )
        alike = next((known for known in self._known if known.replace(".", "_") == topic.replace(".", "_")), None)
        if alike is not None:
            return no_topic(
                f"there is no topic for {name!r}, and Kafka makes none: its metrics could not tell it from {alike!r}, "
                "where '.' and '_' are the same; name the event otherwise"
            )
        try:
            await run_in_background(partial(self._admin.create, [new_topic(topic)]))
        except LogError as error:
            _log.warning("topic %s cannot be created: %s", topic, error, extra=ABOUT_KAFKA)
            return None
        self._known = {**self._known, topic: 1}
        return topic
