"""The topic of an event: one of its own, or one that names with a common beginning share.

The rule is the same for publishers, the gateway and the bridge: ``metaflow.*=metaflow-events`` puts every event whose
name begins with ``metaflow.`` into the topic ``metaflow-events``. The longest beginning that fits counts. In
a shared topic an event is known by its header ``ce_type`` alone; every other topic stands for the single name it has.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Self

from flowbridge_sdk.errors import SettingsError
from flowbridge_sdk.topics import TOPIC_LIMIT, topic_of

_PATTERN = re.compile(r"[^\s*?\[\],=]*\*")
_TOPIC = re.compile(rf"[a-zA-Z0-9._-]{{1,{TOPIC_LIMIT}}}")
_EXPECTED = "expected BEGINNING*=TOPIC, several separated by commas, such as metaflow.*=metaflow-events"


class SharedTopics:
    """The topics that names share.

    Attributes:
        patterns: ``BEGINNING*`` to topic.
        topics: The topics that are shared.

    """

    def __init__(self, patterns: Mapping[str, str] | None = None) -> None:
        """Take patterns.

        Raises:
            SettingsError: One is no ``BEGINNING*``, or its topic cannot be one of Kafka's.

        """
        self.patterns = dict(patterns or {})
        for pattern, topic in self.patterns.items():
            if not _PATTERN.fullmatch(pattern) or not _TOPIC.fullmatch(topic) or topic in (".", ".."):
                raise SettingsError(f"shared topics: found {pattern}={topic}; {_EXPECTED}")
        self.topics = frozenset(self.patterns.values())
        beginnings = [(pattern.removesuffix("*"), topic) for pattern, topic in self.patterns.items()]
        self._beginnings = sorted(beginnings, key=lambda beginning: len(beginning[0]), reverse=True)

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read ``BEGINNING*=TOPIC``, several separated by commas; an empty text has none.

        Raises:
            SettingsError: It is something else, or a pattern comes twice.

        """
        pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        patterns = {pattern.strip(): topic.strip() for pattern, _, topic in pairs}
        if len(patterns) < len(pairs):
            raise SettingsError(f"shared topics: found a beginning twice in {text!r}; give each once")
        return cls(patterns)

    def topic_for(self, name: str) -> str:
        """Return the topic that carries the events called ``name``.

        Raises:
            BadNameError: The name is empty, too long, or no text.

        """
        own = topic_of(name)
        for beginning, topic in self._beginnings:
            if name.startswith(beginning):
                return topic
        return own

    def shared_topic_for(self, name: str) -> str | None:
        """Return the topic that the events called ``name`` share with others; None if they have one of their own.

        Raises:
            BadNameError: The name is empty, too long, or no text.

        """
        topic = self.topic_for(name)
        return topic if topic in self.topics else None
