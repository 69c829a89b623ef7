"""The types of settings: how each is read from a text or a file, and printed without its secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, SecretStr

from bridge.core.duration import duration_text, parse_duration

HIDDEN = "**********"
"""The text that is shown in place of a secret, as pydantic writes it."""

_SECRET = re.compile(
    r"password|passphrase|secret|token|credential|key\.pem$|^sasl\.oauthbearer\.config$", re.IGNORECASE
)
_HOLDS_PASSWORD = re.compile(r"://[^/]*@").search
OWNED_PROPERTIES = frozenset(
    (
        "acks",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "group.id",
        "group.instance.id",
        "group.protocol",
        "isolation.level",
        "metadata.broker.list",
        "partition.assignment.strategy",
        "transactional.id",
    ),
)
"""Properties that the bridge sets itself: its promises rest on them."""
_PORTS = range(65_536)
_SENSOR_NAMESPACES = "namespaces are right, separated by commas, as jobs or events=jobs"
_FIELD_PATH = re.compile(r"(?!payload\.)[^.\x00-\x1f\x7f]+(\.[^.\x00-\x1f\x7f]+)*")


_INSTEAD = {
    "bootstrap.servers": " (bootstrap_servers is the setting)",
    "metadata.broker.list": " (bootstrap_servers is the setting)",
    "group.instance.id": " (instance is the setting)",
    "transactional.id": " (instance is the setting)",
}


class Metavar(NamedTuple):
    """The name of an option's value in ``--help``. It stands at the type of the setting."""

    text: str


class Group(Enum):
    """The subject of a setting. It stands at the setting, in ``Annotated``.

    A group is a chapter of ``docs/settings.md``. A command that needs the settings of a subject takes the whole group.
    """

    KAFKA = "Kafka"
    TOPICS = "Topics"
    EVENTS = "Events"
    TRIGGERS = "Triggers"
    INSTALLATION = "The installation"
    PROCESS = "The process"
    OBSERVATION = "Logs and health"
    GATEWAY = "The gateway"
    RUNS = "Windows and runs"


class Trait(Enum):
    """A property of a type of setting that the sources of settings need. It stands at the type, as a metavar does."""

    REPEATED = "its option may be used several times"
    PATH = "a relative path in the settings file starts at the folder of that file"
    EMPTY = "an empty environment variable is a value; of other types it counts as not set"


class Stage(StrEnum):
    """One of the four stages, in the order of an event's way."""

    CONTROLLER = "controller"
    ROUTER = "router"
    MATCHER = "matcher"
    SUBMITTER = "submitter"


class Address(NamedTuple):
    """An address to listen on. Port 0 is any free port."""

    host: str
    port: int

    @classmethod
    def read(cls, value: Any) -> Address | None:
        """Return the address of a text ``HOST:PORT``; None for an empty text. An address and None stay.

        Raises:
            ValueError: The text is something else.

        """
        if value is None or isinstance(value, Address):
            return value
        text = str(value).strip()
        if not text:
            return None
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) not in _PORTS:
            raise ValueError("HOST:PORT is right, such as 0.0.0.0:9630; an empty text turns it off")
        return cls(host.strip("[]"), int(port))

    def text(self) -> str:
        """Return ``host:port``, an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class SensorNamespace(NamedTuple):
    """A namespace whose Sensors are triggers.

    Attributes:
        namespace: The namespace.
        run_namespace: Another namespace, in which they may run Workflows. Empty for none.

    """

    namespace: str
    run_namespace: str = ""

    @classmethod
    def read(cls, text: str) -> SensorNamespace:
        """Return the namespace of a text ``namespace`` or ``namespace=run_namespace``.

        Raises:
            ValueError: The text is something else.

        """
        names = text.split("=")
        if len(names) > 2:  # noqa: PLR2004 - a pair
            raise ValueError(_SENSOR_NAMESPACES)
        return cls(*map(_namespace, names))

    def __str__(self) -> str:
        """Return ``namespace`` or ``namespace=run_namespace``."""
        return f"{self.namespace}={self.run_namespace}" if self.run_namespace else self.namespace


def is_secret(kafka_property: str) -> bool:
    """Return True if the value of a librdkafka property must never be shown."""
    return _SECRET.search(kafka_property) is not None


def without_password(urls: str) -> str:
    """Return URLs, separated by commas, with user and password hidden: all that stands before an ``@``."""
    return ",".join(re.sub(r"^(.*?://)?.*@", rf"\g<1>{HIDDEN}@", url, flags=re.DOTALL) for url in urls.split(","))


def without_credentials(value: Any) -> str:
    """Return a wrong value without a user and a password, which may be all that stands before its last ``@``."""
    text = str(value)
    return f"{HIDDEN}@{text.rpartition('@')[2]}" if "@" in text else repr(value)


def _paths(value: Any) -> Any:
    """Split at commas and at the system's path separator; entries of a list may hold several, too."""
    texts = [value] if isinstance(value, str | Path) else value
    if not isinstance(texts, list | tuple):
        raise ValueError("a path, or a list of paths, is right")  # noqa: TRY004 - pydantic takes ValueError for "wrong"
    separator = "|".join(map(re.escape, {",", os.pathsep}))
    return tuple(Path(part.strip()) for text in texts for part in re.split(separator, str(text)) if part.strip())


def _field_paths(value: Any) -> Any:
    """Split a text at commas. The paths are those that a trigger's ``sensitive`` takes."""
    texts = value.split(",") if isinstance(value, str) else value
    expected = "payload fields are right, as customer.email (payload stays out), separated by commas"
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise ValueError(expected)
    paths = tuple(dict.fromkeys(text.strip() for text in texts if text.strip()))
    if not all(_FIELD_PATH.fullmatch(path) for path in paths):
        raise ValueError(expected)
    return paths


def _parts(value: Any, expected: str) -> list[str]:
    """Split a text, or each of several, at commas.

    Raises:
        ValueError: The value is neither. The error has the text ``expected``.

    """
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple | set | frozenset):
        raise ValueError(expected)  # noqa: TRY004 - pydantic takes ValueError for "wrong"
    return [part.strip() for text in texts for part in str(text).split(",") if part.strip()]


def _stages(value: Any) -> Any:
    expected = f"{', '.join(Stage)} are right, separated by commas"
    names = set(_parts(value, expected))
    if not names or not names <= set(Stage):
        raise ValueError(expected)
    return frozenset(map(Stage, names))


def _url(value: str) -> str:
    urls = [part.strip().rstrip("/") for part in value.split(",")]
    if not all(re.fullmatch(r"https?://[^/\s]+(/\S*)?", url) for url in urls):
        raise ValueError("http://HOST:PORT or https://HOST:PORT is right, several separated by commas")
    return ",".join(urls)


def _file(value: Any) -> Any:
    texts = value if isinstance(value, list) else [value]
    return Path(str(texts[0])) if len(texts) == 1 and texts[0] else None


def _shared_topics(value: Any) -> Any:
    """Read ``BEGINNING*=TOPIC`` texts, separated by commas, or a mapping."""
    if not value:
        return {}
    from flowbridge_sdk.attributes.shared_topics import SharedTopics  # noqa: PLC0415 - 0.2 s that --help need not wait

    if isinstance(value, Mapping):
        return SharedTopics({str(pattern): str(topic) for pattern, topic in value.items()}).patterns
    return SharedTopics.from_text(str(value)).patterns


def _json_topics(value: Any) -> Any:
    """Read topics and beginnings of topics, separated by commas, or a list."""
    if not value:
        return ()
    from flowbridge_sdk.payloads.json_values import JsonTopics  # noqa: PLC0415 - 0.2 s that --help need not wait

    return JsonTopics(_parts(value, "topics are right, separated by commas")).patterns


def _servers(value: str) -> str:
    servers = [part.strip() for part in value.split(",")]
    if "@" in value:
        raise ValueError(
            "HOST:PORT is right; user and password are the properties sasl.username and sasl.password of kafka"
        )
    if not all(servers) or any(re.search(r"\s", part) for part in servers):
        raise ValueError("HOST:PORT is right, several separated by commas")
    return ",".join(servers)


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", value):
        raise ValueError("up to 63 lower-case letters, digits and '-' are right, a letter or digit at both ends")
    return value


def _each(read: Callable[[str], Any], expected: str) -> BeforeValidator:
    """Return the validator that reads each part of a list. For a value that is no list, the error is ``expected``."""
    return BeforeValidator(lambda value: tuple(map(read, _parts(value, expected))))


def _matching(pattern: str, expected: str) -> AfterValidator:
    """Return the check that a text matches a pattern. Else the error has the text ``expected``."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(expected)
        return value

    return AfterValidator(check)


def _property_name(name: str) -> str:
    if name in OWNED_PROPERTIES:
        raise ValueError("the bridge sets this property itself; leave it out" + _INSTEAD.get(name, ""))
    if not re.fullmatch(r"[a-z][a-z0-9._]*", name):
        raise ValueError("a property of librdkafka is right, such as security.protocol")
    return name


def _property_value(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float | str) else value


Namespace = Annotated[str, AfterValidator(_namespace), Metavar("NAMESPACE")]
"""A namespace of Kubernetes."""
Namespaces = Annotated[
    tuple[str, ...], _each(_namespace, "namespaces are right, separated by commas"), Metavar("NAMESPACE,...")
]
"""Namespaces of Kubernetes."""
SensorNamespaces = Annotated[
    tuple[SensorNamespace, ...],
    _each(SensorNamespace.read, _SENSOR_NAMESPACES),
    PlainSerializer(lambda namespaces: list(map(str, namespaces)), when_used="json"),
    Metavar("NAMESPACE[=NAMESPACE],..."),
]
"""Namespaces of Sensors."""
TopicPart = Annotated[
    str, _matching(r"[a-zA-Z0-9._-]{1,100}", "1 to 100 letters, digits, '.', '_' and '-' are right"), Metavar("NAME")
]
"""A part of the name of a topic or of a group."""
Duration = Annotated[
    timedelta,
    BeforeValidator(
        lambda value: value if isinstance(value, timedelta) else timedelta(microseconds=parse_duration(str(value)))
    ),
    PlainSerializer(lambda value: duration_text(value // timedelta(microseconds=1)), when_used="json"),
    Metavar("DURATION"),
]
"""A length of time, written ``1h30m``."""
Paths = Annotated[tuple[Path, ...], BeforeValidator(_paths), Metavar("PATH"), Trait.PATH, Trait.REPEATED]
"""Files or folders."""
FieldPaths = Annotated[tuple[str, ...], BeforeValidator(_field_paths), Metavar("FIELD,...")]
"""Payload fields."""
Stages = Annotated[
    frozenset[Stage],
    BeforeValidator(_stages),
    PlainSerializer(lambda stages: [stage for stage in Stage if stage in stages], when_used="json"),
    Metavar("STAGE,..."),
]
"""Some of the four stages."""
Url = Annotated[str, AfterValidator(_url), PlainSerializer(without_password, when_used="json"), Metavar("URL")]
"""An address of HTTP. Its user and password are never shown."""
Listen = Annotated[
    Address | None,
    BeforeValidator(Address.read),
    PlainSerializer(lambda address: address.text() if address else "", when_used="json"),
    Metavar("HOST:PORT"),
    Trait.EMPTY,
]
"""An address to listen on; None is off."""
FilePath = Annotated[Path | None, BeforeValidator(_file), Metavar("FILE"), Trait.PATH]
"""A file, or none."""
UrlPath = Annotated[
    str,
    _matching(
        r"(?!/(livez|readyz|health)$)/[A-Za-z0-9._~/-]{1,200}",
        "a path such as /metaflow-event is right, and none of /livez, /readyz and /health",
    ),
    Metavar("/PATH"),
]
"""A path of HTTP that is not one of the health pages'."""
ArgoUrl = Annotated[
    str,
    _matching(
        r"|https?://(?=.*\{namespace\})(?=.*\{name\})[^\s]{1,500}",
        "an address with {namespace} and {name} is right, such as https://argo.example/workflows/{namespace}/{name}",
    ),
    Metavar("URL"),
    Trait.EMPTY,
]
"""The address of a Workflow in Argo's UI, with its namespace and name left open; empty for none."""
SharedTopicPatterns = Annotated[dict[str, str], BeforeValidator(_shared_topics), Metavar("PREFIX*=TOPIC,...")]
"""Topics that the names with a common beginning share: pattern to topic."""
TopicPatterns = Annotated[tuple[str, ...], BeforeValidator(_json_topics), Metavar("TOPIC|PREFIX*,...")]
"""Topics, and beginnings of topics followed by a ``*``."""
Servers = Annotated[str, AfterValidator(_servers), Metavar("HOST:PORT,...")]
"""Brokers: HOST:PORT, separated by commas."""
_Property = Annotated[str, AfterValidator(_property_name)]
_Value = Annotated[str | SecretStr, BeforeValidator(_property_value)]
KafkaProperties = Annotated[
    dict[_Property, _Value],
    AfterValidator(
        lambda properties: {
            name: SecretStr(value) if isinstance(value, str) and (is_secret(name) or _HOLDS_PASSWORD(value)) else value
            for name, value in properties.items()
        }
    ),
    Metavar("KEY=VALUE"),
    Trait.REPEATED,
]
"""Properties of librdkafka; after validation, secret ones are :class:`pydantic.SecretStr`."""
