"""Every setting, documented where it is defined. ``docs/settings.md`` is written from this module.

A setting has one name: ``--ledger-horizon`` as an option, ``FLOWBRIDGE_LEDGER_HORIZON`` in the environment,
``ledger_horizon`` in the file that ``--config`` or ``FLOWBRIDGE_CONFIG`` names. An option wins over the environment,
that over the file, that over the default. The address of Kubernetes is no setting of ours: it comes from KUBECONFIG, or
from the account of the pod. Defaults of settings that stages take stand in :mod:`bridge.settings.groups`.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from bridge.core.event import Micros
from bridge.core.runs.announcement import announced_names
from bridge.errors import SettingProblem, SettingsError
from bridge.settings.groups import (
    ControllerSettings,
    GatewaySettings,
    RouterSettings,
    SubmitterSettings,
    WindowSettings,
)
from bridge.settings.sources import CONFIG, EnvironmentSource, FileSource, OptionsSource, PlacedSource
from bridge.settings.values import (
    HIDDEN,
    Address,
    ArgoUrl,
    Duration,
    FieldPaths,
    FilePath,
    Group,
    KafkaProperties,
    Listen,
    Namespace,
    Namespaces,
    Paths,
    SensorNamespaces,
    Servers,
    SharedTopicPatterns,
    Stage,
    Stages,
    TopicPart,
    TopicPatterns,
    Url,
    UrlPath,
    is_secret,
    without_credentials,
)

DEFAULT_LISTEN = Address("127.0.0.1", 9630)
DEFAULT_GATEWAY_LISTEN = Address("127.0.0.1", 12_000)
PARTITION_BYTES = 4 * 1024**2
"""The least share of a partition in the memory for windows: two events of the largest size fit into it."""


def _length(micros: Micros) -> timedelta:
    return timedelta(microseconds=micros)


class Settings(BaseModel):
    """All settings of the bridge; :func:`load_settings` reads them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True)

    bootstrap_servers: Annotated[Servers, Group.KAFKA] = Field(
        "localhost:9092",
        description="Kafka's brokers to begin with: `HOST:PORT`, several separated by commas.",
    )
    kafka: Annotated[KafkaProperties, Group.KAFKA] = Field(
        {},
        description="Any other property of librdkafka, such as `security.protocol` or `sasl.password`. In the "
        "environment `.` becomes `_`: `FLOWBRIDGE_KAFKA_SASL_PASSWORD`. Passwords, keys and tokens are never shown.",
    )
    triggers: Annotated[Paths, Group.TRIGGERS] = Field(
        (),
        description="Files or folders with triggers. In one text they are separated by commas or by the system's "
        "path separator; relative ones in the file start at the file's folder.",
    )
    sensitive: Annotated[FieldPaths, Group.TRIGGERS] = Field(
        ControllerSettings.sensitive,
        description="Payload fields whose values no decision of any trigger shows, in addition to those that a trigger "
        "names: `card.number,customer.email`. Only the controller's counts: it writes them into the definitions.",
    )
    schemas: Annotated[Paths, Group.EVENTS] = Field(
        (),
        description="Files or folders with the Avro schemas of events, each in `NAME.avsc`; separated as triggers are.",
    )
    schema_registry_url: Annotated[Url | None, Group.EVENTS] = Field(
        None, description="A Confluent-compatible schema registry; user and password in it are never shown."
    )
    json_topics: Annotated[TopicPatterns, Group.EVENTS] = Field(
        (),
        description="Topics whose values are bare JSON objects, without a header that says so: `orders,legacy.*`, "
        "separated by commas; `*` alone is every topic. Values that begin as Avro does are read as Avro there too. "
        "Only the routers' counts.",
    )
    namespace: Annotated[Namespace, Group.TRIGGERS] = Field(
        "default",
        description="Namespace of triggers that name none, and of their Workflows.",
    )
    trigger_namespaces: Annotated[Namespaces, Group.TRIGGERS] = Field(
        (),
        description="Namespaces that trigger files may name, for triggers and their Workflows, separated by commas; "
        "that of the setting `namespace` is always one of them. A trigger that names another is refused. Without any, "
        "files may name each namespace in which the bridge may create Workflows.",
    )
    sensors: Annotated[SensorNamespaces, Group.TRIGGERS] = Field(
        (),
        description="Namespaces whose Metaflow Sensors are triggers, separated by commas. Sensors run Workflows in "
        "their own namespace; `events=jobs` also lets those of `events` run them in `jobs`. The account of the bridge "
        "needs the rights of `deploy/base/role.yaml` there.",
    )
    sensor_window: Annotated[Duration, Group.TRIGGERS] = Field(
        timedelta(days=1),
        ge=timedelta(seconds=1),
        le=timedelta(days=366),
        description="How far apart the events of a Metaflow flow with several events may have happened, where the flow "
        "does not say: events further apart never start a run together. Argo Events pairs them however old they are. "
        "A flow says its own by a line `flowbridge.dev/window: 6h` in its docstring, or by that annotation of its "
        "Sensor. A new value counts from then on, and what waits in the windows of flows without their own is dropped "
        "as `expired`.",
    )
    internal_prefix: Annotated[TopicPart, Group.TOPICS] = Field(
        "flowbridge.",
        description="What the names of the bridge's own topics and groups begin with. It is the installation's "
        "identity: runs of another prefix are other runs.",
    )
    partitions: Annotated[int, Group.INSTALLATION] = Field(
        24,
        ge=1,
        le=1_000,
        description="Partitions of the bridge's own topics, and so the most processes that share the work. It is "
        "fixed when the topics are created.",
    )
    replication: Annotated[int, Group.TOPICS] = Field(
        -1,
        ge=-1,
        le=32_767,
        description="Replicas of the bridge's own topics and of event topics that it creates; `-1` is the broker's "
        "default.",
    )
    shared_topics: Annotated[SharedTopicPatterns, Group.TOPICS] = Field(
        {},
        description="Topics that all names with a common beginning share, instead of one a name: "
        "`metaflow.*=metaflow-events`, several separated by commas. It is the installation's: bridges, gateways and "
        "publishers with the SDK need the same.",
    )
    create_topics: Annotated[bool, Group.TOPICS] = Field(
        default=True, description="Create the topics of triggers' events, and shared topics, where they are missing."
    )
    topic_bound: Annotated[int, Group.TOPICS] = Field(
        ControllerSettings.topic_bound,
        ge=1,
        le=100_000,
        description="The number of topics in the cluster, those of others included, at which neither the controller "
        "nor a gateway creates another topic for the events of a name. Triggers that need one are shown with an error, "
        "and the gateway answers 404. Topics of `shared_topics` and the bridge's own are always created. In 0.1.0 it "
        "was `gateway_topic_bound`; that name still works.",
    )
    event_topic_partitions: Annotated[int, Group.TOPICS] = Field(
        4, ge=1, le=1_000, description="Partitions of event topics that it creates."
    )
    stages: Annotated[Stages, Group.PROCESS] = Field(
        frozenset(Stage),
        description="The stages that this process runs, separated by commas.",
    )
    instance: Annotated[TopicPart | None, Group.PROCESS] = Field(
        None,
        description="A name that this process keeps through restarts and shares with no other that runs (a "
        "StatefulSet's pod name): its partitions wait for it. Without one a process is a new member at each start, "
        "and what it had moves on at once.",
    )
    concurrency: Annotated[int, Group.RUNS] = Field(
        SubmitterSettings.concurrency,
        ge=1,
        le=256,
        description="Creates of Workflows that the API server is asked to do at once. A create that takes longer than "
        "a second does not count, but with such slow ones there are at most twice as many, and a namespace has at most "
        "half of this while it is slow and others have runs.",
    )
    waiting_runs: Annotated[int, Group.RUNS] = Field(
        SubmitterSettings.waiting_runs,
        ge=1,
        description="Runs of one trigger that may wait, for their turn, their rate, a storm to end or a refusal to be "
        "lifted. They lie in a temporary file, not in memory. A run beyond that is a dead letter, unless the trigger "
        "has created a Workflow in the last 10 s or the whole cluster is down: then its partition of the log waits.",
    )
    waiting_bytes: Annotated[int, Group.RUNS] = Field(
        SubmitterSettings.waiting_bytes,
        ge=1,
        description="Bytes that the waiting runs of one trigger may have in that file; the same happens beyond it.",
    )
    window_bound: Annotated[int, Group.RUNS] = Field(
        WindowSettings.window_bound, ge=2, le=1_000_000, description="Arrivals that one window may hold."
    )
    window_bytes: Annotated[int, Group.RUNS] = Field(
        WindowSettings.window_bytes,
        ge=PARTITION_BYTES,
        description="Bytes of memory that all windows may take, arrivals that wait and identities that are remembered: "
        "at most so many in a process, also in one that has all partitions. Each partition has an equal share, at "
        "least 4 MiB. Beyond it, windows that were not touched lately are on disk (`window_disk_bytes`). The memory "
        "limit of a pod must be at least twice this.",
    )
    window_disk_bytes: Annotated[int, Group.RUNS] = Field(
        WindowSettings.window_disk_bytes,
        ge=0,
        description="Bytes of windows that may be on disk beyond `window_bytes`, counted as in memory: on disk they "
        "take less. They lie in a temporary file, and each partition has an equal share; 0 keeps all windows in "
        "memory. A trigger may hold three times what is free in both shares together: three quarters if it is alone. "
        "An arrival beyond that is `over-bound`, unless it completes a match that makes room.",
    )
    remembered_bound: Annotated[int, Group.RUNS] = Field(
        WindowSettings.remembered_bound,
        ge=2,
        le=100_000_000,
        description="Events of one trigger that one partition remembers, those that wait and those that are known "
        "only so that a repeat is a `duplicate`. Each takes about 800 bytes of `window_bytes` or `window_disk_bytes`.",
    )
    retry_for: Annotated[Duration, Group.RUNS] = Field(
        _length(SubmitterSettings.retry_for),
        ge=timedelta(0),
        description="How long a run is tried again before it is a dead letter, if the API server refuses it or its "
        "WorkflowTemplate is missing or forbidden. It counts from the first of these refusals. What the run waited for "
        "before (a rate, an outage) does not count.",
    )
    ledger_horizon: Annotated[Duration, Group.INSTALLATION] = Field(
        _length(SubmitterSettings.ledger_horizon),
        ge=timedelta(minutes=1),
        description="How long run keys are remembered: what comes back later runs again.",
    )
    workflow_lifetime: Annotated[Duration, Group.RUNS] = Field(
        _length(SubmitterSettings.workflow_lifetime),
        ge=timedelta(minutes=1),
        description="How long a finished Workflow stays on the cluster at least, where its template sets no TTL: a "
        "create whose outcome is unknown is settled within it.",
    )
    followed_runs: Annotated[int, Group.RUNS] = Field(
        SubmitterSettings.followed_runs,
        ge=0,
        le=1_000_000,
        description="Created runs whose Workflows a process follows to their end at most; 0 follows none. The account "
        "needs the right to list and watch Workflows. Of runs beyond the bound the end is not recorded.",
    )
    announce_runs: Annotated[bool, Group.RUNS] = Field(
        default=False,
        description="Publish the events `flowbridge.run.created`, `flowbridge.run.succeeded` and "
        "`flowbridge.run.failed` about the runs of all triggers, so that a trigger can wait for the end of another "
        "one's run (docs/runs.md). Their names begin with `internal_prefix`. It is the installation's: all bridges and "
        "`flowbridge check` need the same.",
    )
    argo_url: Annotated[ArgoUrl, Group.RUNS] = Field(
        "",
        description="Where a Workflow is seen in Argo's UI, with `{namespace}` and `{name}` in it: "
        "`https://argo.example/workflows/{namespace}/{name}`. `flowbridge runs` shows these addresses.",
    )
    clock_skew: Annotated[Duration, Group.RUNS] = Field(
        _length(WindowSettings.clock_skew),
        ge=timedelta(0),
        le=timedelta(minutes=5),
        description="How far the clocks of brokers and bridges may be apart; timers wait that much longer.",
    )
    reload: Annotated[Duration, Group.TRIGGERS] = Field(
        _length(ControllerSettings.reload),
        ge=timedelta(milliseconds=100),
        description="Time between two readings of the sources of triggers. More than 500 files that have not changed "
        "are examined less often: a thousand every two seconds, and any number at least every five.",
    )
    hold_off: Annotated[Duration, Group.TRIGGERS] = Field(
        _length(ControllerSettings.hold_off),
        ge=timedelta(0),
        description="How long a trigger must be gone from its source before it is retired.",
    )
    lost_offsets: Annotated[Literal["hold", "continue"], Group.RUNS] = Field(
        RouterSettings.lost_offsets,
        description="What to do when a topic no longer holds the offset to go on at: `hold` stops that partition "
        "until you decide, `continue` goes on at its oldest record, or after a truncation at the first record of "
        "the last 24 hours; both say so loudly.",
    )
    listen: Annotated[Listen, Group.OBSERVATION] = Field(
        DEFAULT_LISTEN,
        description="Where `/livez`, `/readyz` and `/metrics` answer; port 0 is any free one, an empty text turns "
        "them off. If the default is taken, a free port is used and logged; another address that is taken is an error.",
    )
    gateway: Annotated[bool, Group.PROCESS] = Field(
        default=False,
        description="Take events over HTTP in this process of `run`, too, as `flowbridge gateway` does by itself.",
    )
    gateway_listen: Annotated[Listen, Group.GATEWAY] = Field(
        DEFAULT_GATEWAY_LISTEN,
        description="Where the gateway takes events over HTTP, as `HOST:PORT`; port 0 is any free one. In `dev` an "
        "empty text turns the gateway off, and if the default is taken, a free port is used and shown.",
    )
    gateway_path: Annotated[UrlPath, Group.GATEWAY] = Field(
        GatewaySettings.gateway_path,
        description="The path of Argo Events' webhook contract: what METAFLOW_ARGO_EVENTS_WEBHOOK_URL ends with.",
    )
    gateway_cloudevents_path: Annotated[UrlPath, Group.GATEWAY] = Field(
        GatewaySettings.gateway_cloudevents_path, description="The path that takes CloudEvents, structured or binary."
    )
    gateway_tokens: Annotated[FilePath, Group.GATEWAY] = Field(
        None,
        description="A file of bearer tokens and of the events that each may publish; read again when it changes. "
        "Without one, any client that reaches the gateway may publish.",
    )
    gateway_certificate: Annotated[FilePath, Group.GATEWAY] = Field(
        None, description="A certificate (PEM, with its chain) for HTTPS; read again when it changes."
    )
    gateway_key: Annotated[FilePath, Group.GATEWAY] = Field(
        None, description="The certificate's key (PEM), if it is not in the same file."
    )
    gateway_source: Annotated[Literal["kept", "one"], Group.GATEWAY] = Field(
        "kept",
        description="The source of CloudEvents that the gateway takes: `kept` as the event names it, `one` for all, "
        "that of Metaflow's events, so that the same name and id twice is one event, whichever publisher sends it.",
    )
    gateway_new_names: Annotated[Literal["create", "refuse"], Group.GATEWAY] = Field(
        "create",
        description="What the gateway does with an event whose name has no topic and shares none: `create` makes one, "
        "as with event topics of triggers, `refuse` answers 404.",
    )
    gateway_hold: Annotated[Duration, Group.GATEWAY] = Field(
        _length(GatewaySettings.gateway_hold),
        ge=timedelta(seconds=2),
        le=timedelta(minutes=10),
        description="How long a request is held while Kafka is away. Metaflow's publisher waits 60 s.",
    )
    gateway_held: Annotated[int, Group.GATEWAY] = Field(
        GatewaySettings.gateway_held,
        ge=1,
        le=100_000,
        description="Requests that are held at once; beyond, the gateway is not ready.",
    )
    traces_endpoint: Annotated[Url | None, Group.OBSERVATION] = Field(
        None,
        description="Where spans of traced events are sent by OTLP over HTTP, such as `http://collector:4318` "
        "(docs/traces.md). Without it `OTEL_EXPORTER_OTLP_ENDPOINT` counts; without both there are none. It needs "
        "`flowbridge[traces]`.",
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Group.OBSERVATION] = Field(
        "info", description="The least that is logged."
    )
    log_format: Annotated[Literal["text", "json"], Group.OBSERVATION] = Field(
        "text", description="Lines for people, or one JSON object a line."
    )

    @field_validator("window_bytes")
    @classmethod
    def _are_enough(cls, size: int, info: ValidationInfo) -> int:
        """Refuse a size with which the share of a partition could not hold the largest events."""
        partitions = info.data.get("partitions", 1)
        if size < PARTITION_BYTES * partitions:
            least = PARTITION_BYTES * partitions
            raise ValueError(f"at least 4 MiB for each of the {partitions} partitions is right, which is {least}")
        return size

    @field_validator("announce_runs")
    @classmethod
    def _can_be_announced(cls, announces: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's own call
        """Refuse to announce runs whose ends are not seen, or whose events triggers would read from other topics."""
        if not announces:
            return False
        if not info.data.get("followed_runs", 1):
            raise ValueError("followed_runs above 0 is right with it, as only the ends of followed runs are known")
        from flowbridge_sdk.attributes.shared_topics import SharedTopics  # noqa: PLC0415 - 0.2 s for --help

        shared = SharedTopics(info.data.get("shared_topics"))
        for name in announced_names(info.data.get("internal_prefix", "")):
            if shared.shared_topic_for(name) is not None:
                raise ValueError(f"shared_topics without {name!r} is right with it, which has a topic of its own")
        return True

    @field_validator("shared_topics")
    @classmethod
    def _are_for_events(cls, patterns: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        """Refuse topics that are the bridge's or Kafka's own."""
        prefix = info.data.get("internal_prefix", "__")
        if any(topic.startswith((prefix, "__")) for topic in patterns.values()):
            raise ValueError(f"a topic that begins neither with the internal prefix {prefix!r} nor with '__' is right")
        return patterns

    def __init__(self, *sources: PlacedSource, **values: Any) -> None:
        """Merge ``values`` and ``sources``. The earlier wins, and nothing else is read."""
        merged: dict[str, Any] = {}
        for source in (*reversed(sources), OptionsSource(values)):
            for name, value in source.values.items():
                later = merged.get(name)
                merged[name] = {**later, **value} if isinstance(later, dict) and isinstance(value, dict) else value
        super().__init__(**merged)

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return list(self.without_secrets().items())

    def without_secrets(self) -> dict[str, Any]:
        """Return all settings as plain JSON values, without secrets."""
        return self.model_dump(mode="json")

    @property
    def controller(self) -> ControllerSettings:
        """Return the settings that the controller takes."""
        return ControllerSettings.of(self)

    @property
    def router(self) -> RouterSettings:
        """Return the settings that a router takes."""
        return RouterSettings.of(self)

    @property
    def windows(self) -> WindowSettings:
        """Return the settings that a matcher takes."""
        return WindowSettings.of(self)

    @property
    def submitter(self) -> SubmitterSettings:
        """Return the settings that the submitter takes."""
        return SubmitterSettings.of(self)

    @property
    def allowed_namespaces(self) -> frozenset[str]:
        """Return the namespaces that trigger files may name; empty for any."""
        return frozenset((*self.trigger_namespaces, self.namespace)) if self.trigger_namespaces else frozenset()

    def client_properties(self) -> dict[str, str]:
        """Return the properties of every Kafka client. They include secrets: never show them."""
        revealed = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value
            for name, value in self.kafka.items()
        }
        return {"bootstrap.servers": self.bootstrap_servers, **revealed}

    @property
    def is_listen_explicit(self) -> bool:
        """Return True if the address to listen on was set."""
        return "listen" in self.model_fields_set

    @property
    def is_gateway_listen_explicit(self) -> bool:
        """Return True if the gateway's address was set."""
        return "gateway_listen" in self.model_fields_set

    @cached_property
    def member(self) -> str:
        """Return the name of this process for transactional ids: the instance, or one that is never used twice."""
        return self.instance or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"


def load_settings(options: Mapping[str, Any], environment: Mapping[str, str], config: Path | None = None) -> Settings:
    """Return the settings that options, environment and file give together.

    Args:
        options: The values of options, by the names of the fields.
        environment: The environment (``os.environ``).
        config: The settings file; without one, ``FLOWBRIDGE_CONFIG`` may name it.

    Raises:
        SettingsError: A setting is wrong. The error says where, what was found and what was expected.

    """
    sources: list[PlacedSource] = [OptionsSource(options), EnvironmentSource(Settings, environment)]
    path = config or (Path(environment[CONFIG]) if environment.get(CONFIG) else None)
    if path:
        sources.append(FileSource(Settings, path))
    try:
        return Settings(*sources)
    except ValidationError as error:
        problems = []
        for details in error.errors():
            field = str(details["loc"][0])
            kafka_property = str(details["loc"][1]) if field == "kafka" and len(details["loc"]) > 1 else None
            places = (source.place(field, kafka_property) for source in sources if source.sets(field, kafka_property))
            expected = details["msg"].removeprefix("Value error, ").replace("Input should", "it should")
            value = str(details["input"])
            if "@" in value:
                expected = expected.replace(repr(value), "it")  # a reader of values quotes a value that it cannot read
            is_hidden = field == "kafka" and (kafka_property is None or is_secret(kafka_property))
            shown = HIDDEN if is_hidden else without_credentials(details["input"])
            problems.append(SettingProblem(next(places, field), f"found {shown}", expected))
        raise SettingsError(problems) from None
