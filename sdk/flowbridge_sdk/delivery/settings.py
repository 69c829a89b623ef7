"""Where a publisher's settings come from: its arguments first, then the environment, then the defaults here.

================================  ==================================================================================
variable                          meaning
================================  ==================================================================================
FLOWBRIDGE_BOOTSTRAP_SERVERS      Kafka's addresses, ``host:port`` with commas between
FLOWBRIDGE_CONNECT_WITHIN         seconds within which a broker has to answer when a publisher is made
FLOWBRIDGE_SCHEMAS                files and folders of typed event schemas, with ``:`` between
FLOWBRIDGE_SCHEMA_REGISTRY_URL    a Confluent-compatible schema registry
FLOWBRIDGE_SHARED_TOPICS          topics that names share, ``BEGINNING*=TOPIC`` with commas between
FLOWBRIDGE_SOURCE                 the source of events that name none
FLOWBRIDGE_KAFKA_<PROPERTY>       any librdkafka property, dots written as underscores: FLOWBRIDGE_KAFKA_SASL_USERNAME
FLOWBRIDGE_LOCAL                  1 or true: a local run, in which ``safe_publish`` and job events do nothing
FLOWBRIDGE_RUN                    the run of a job whose scheduler ``jobs.py`` does not know
FLOWBRIDGE_ATTEMPT                its attempt, from 0, as Argo counts retries
================================  ==================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.errors import SettingsError

DEFAULT_SOURCE = "flowbridge-sdk"
KAFKA_PREFIX = "FLOWBRIDGE_KAFKA_"

_BOOTSTRAP = "bootstrap.servers"
DEFAULTS: dict[str, Any] = {
    "client.id": "flowbridge-sdk",
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 1,
    "compression.type": "lz4",
    "partitioner": "murmur2_random",  # Java's: all publishers send a key to the same partition
    "message.max.bytes": 2 << 20,  # a payload of 1 MiB and its headers; the topic's own limit still counts
    "delivery.timeout.ms": 120_000,
}
_OURS = ("on_delivery", "delivery.report.only.error", "error_cb")
_SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "": False, "0": False, "false": False, "off": False}


@dataclass(frozen=True)
class PublisherSettings:
    """The settings of a publisher.

    Attributes:
        kafka: librdkafka's properties.
        source: The source of events that name none.
        schemas: Where typed schemas are: files and folders with ``os.pathsep`` between.
        registry_url: The schema registry; empty for none.
        shared_topics: The topics that names share.
        connect_within_s: How long a publisher looks for Kafka when it is made, in seconds; 0 for not at all.

    """

    kafka: Mapping[str, Any]
    source: str
    schemas: str
    registry_url: str
    shared_topics: SharedTopics
    connect_within_s: float

    @property
    def delivery_timeout_s(self) -> float:
        """How long an event may wait for its acknowledgement, in seconds."""
        timeout = self.kafka.get("message.timeout.ms") or self.kafka["delivery.timeout.ms"]
        try:
            return float(timeout) / 1000
        except ValueError:
            raise SettingsError(f"delivery.timeout.ms: expected a number, found {timeout!r}") from None

    @classmethod
    def of(
        cls,
        bootstrap: str | None = None,
        config: Mapping[str, Any] | None = None,
        source: str | None = None,
        environment: Mapping[str, str] = os.environ,
        *,
        shared_topics: Mapping[str, str] | None = None,
        connect_within: float | None = None,
    ) -> PublisherSettings:
        """Put the settings together.

        Raises:
            SettingsError: No Kafka is named, a property is the SDK's own, or a setting cannot be read.

        """
        from_environment = {
            name.removeprefix(KAFKA_PREFIX).lower().replace("_", "."): text
            for name, text in environment.items()
            if name.startswith(KAFKA_PREFIX)
        }
        kafka = {**DEFAULTS, **from_environment, **(config or {})}
        servers = bootstrap or kafka.get(_BOOTSTRAP) or environment.get("FLOWBRIDGE_BOOTSTRAP_SERVERS")
        if not servers:
            raise SettingsError(
                "no Kafka is named: set FLOWBRIDGE_BOOTSTRAP_SERVERS, or pass its address, as in "
                'Publisher("localhost:9092")',
            )
        if "@" in servers:  # never echoed: errors name the addresses
            raise SettingsError(
                "Kafka's addresses are HOST:PORT; give user and password as sasl.username, sasl.password"
            )
        kafka[_BOOTSTRAP] = servers
        for name in _OURS:
            if name in kafka:
                raise SettingsError(f"{name} is the publisher's own; pass on_failure to learn of failures")
        if "transactional.id" in kafka:
            raise SettingsError("transactional.id: the publisher sends without transactions; leave it out")
        if shared_topics is not None:
            shared = SharedTopics(shared_topics)
        else:
            shared = SharedTopics.from_text(environment.get("FLOWBRIDGE_SHARED_TOPICS", ""))
        if connect_within is None:
            text = environment.get("FLOWBRIDGE_CONNECT_WITHIN", "")
            try:
                connect_within = float(text or 0)
            except ValueError:
                raise SettingsError(
                    f"FLOWBRIDGE_CONNECT_WITHIN: expected a number of seconds, found {text!r}"
                ) from None
        return cls(
            kafka,
            source or environment.get("FLOWBRIDGE_SOURCE") or DEFAULT_SOURCE,
            environment.get("FLOWBRIDGE_SCHEMAS", ""),
            environment.get("FLOWBRIDGE_SCHEMA_REGISTRY_URL", ""),
            shared,
            connect_within,
        )


def says_local(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether FLOWBRIDGE_LOCAL says that this is a local run."""
    # a word that is neither yes nor no: better nothing published than a surprise
    return _SWITCHES.get(environment.get("FLOWBRIDGE_LOCAL", "").strip().lower(), True)


def is_local(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a local run: FLOWBRIDGE_LOCAL says so, or the environment names no Kafka."""
    named = ("FLOWBRIDGE_BOOTSTRAP_SERVERS", f"{KAFKA_PREFIX}BOOTSTRAP_SERVERS")
    return says_local(environment) or not any(environment.get(name) for name in named)
