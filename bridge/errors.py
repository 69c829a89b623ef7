"""Every error that a person can see, on one page: its meaning, its remedy, and the exit code of the command.

FlowbridgeError
├── UsageError                 2  the command was asked for something that cannot be
│   ├── EventRefusedError      2  the event to be published cannot be sent as it is
│   └── CaseFileError          2  a file is no test file
├── SettingsError              2  an option, an environment variable or the file is wrong
├── SchemasError               2  the folder of schemas cannot be read
├── ListenError                2  an address to listen on cannot be had
├── SpillFileError             2  a temporary file cannot be written or read
├── KafkaUnreachableError      3  no broker answers
├── KafkaRefusedError          3  Kafka answers, and refuses
├── NewerRecordsError          3  a newer version has written to our topics
├── NotPublishedError          3  events were not acknowledged in time
├── KubernetesUnreachableError 4  no API server answers
├── KubernetesRefusedError     4  the API server answers, and refuses
└── RegistryUnreachableError   5  the schema registry does not answer

``docs/errors.md`` says the same at length, and a test holds the two together. An exception of any other class that
reaches the top is a bug of ours: exit code 70.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """How a command ends."""

    OK = 0
    NOT_SO = 1
    USAGE = 2
    KAFKA = 3
    KUBERNETES = 4
    REGISTRY = 5
    BUG = 70
    INTERRUPTED = 130
    BROKEN_PIPE = 141


class FlowbridgeError(Exception):
    """An error that a person can correct.

    Attributes:
        code: Its name in ``docs/errors.md``.
        exit_code: How a command that ends by it exits.
        found: The problem.
        remedy: The action that corrects it.

    """

    code: ClassVar[str]
    exit_code: ClassVar[ExitCode]
    default_remedy: ClassVar[str]

    def __init__(self, found: str, remedy: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.remedy = remedy or self.default_remedy


class UsageError(FlowbridgeError):
    """The command line asks for something that the command cannot do."""

    code = "usage"
    exit_code = ExitCode.USAGE
    default_remedy = "see the command's --help"


class EventRefusedError(UsageError):
    """The event to be published cannot be sent as it is."""

    code = "event-refused"
    default_remedy = "correct the event; nothing of it was sent"


class CaseFileError(UsageError):
    """A test file of triggers cannot be read, or holds what no test file has.

    Args:
        faults: Each fault with its file, line and field.

    """

    code = "test-file"
    default_remedy = "correct the file; docs/testing.md shows how one is written"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))


@dataclass(frozen=True)
class SettingProblem:
    """One setting that is wrong.

    Attributes:
        place: Where it was set: ``--partitions``, ``FLOWBRIDGE_PARTITIONS``, or ``flowbridge.yaml: partitions``.
        found: The value that stands there. It is never a secret.
        expected: The values that are valid.

    """

    place: str
    found: str
    expected: str

    def text(self) -> str:
        """Return the problem for people, in one line."""
        return f"{self.place}: {self.found}; {self.expected}"


class SettingsError(FlowbridgeError):
    """An option, an environment variable or the settings file is wrong."""

    code = "settings"
    exit_code = ExitCode.USAGE
    default_remedy = "correct the settings; docs/settings.md lists them all"

    def __init__(self, problems: Sequence[SettingProblem]) -> None:
        super().__init__("\n".join(problem.text() for problem in problems))
        self.problems = tuple(problems)


class SchemasError(FlowbridgeError):
    """The schemas that were named cannot be read."""

    code = "schemas"
    exit_code = ExitCode.USAGE
    default_remedy = "correct the file; each schema is one Avro record in NAME.avsc"


class ListenError(FlowbridgeError):
    """The address for health and metrics, or the gateway's, cannot be used."""

    code = "listen"
    exit_code = ExitCode.USAGE
    default_remedy = "name another address with --listen HOST:PORT; port 0 takes a free one, an empty text turns it off"


class SpillFileError(FlowbridgeError):
    """A temporary file cannot be written or read."""

    code = "spill-file"
    exit_code = ExitCode.USAGE
    default_remedy = (
        "free the folder that TMPDIR names (/tmp without it) or make it larger; nothing is lost, and the next start "
        "restores it from Kafka"
    )


class KafkaUnreachableError(FlowbridgeError):
    """No broker answers."""

    code = "kafka-unreachable"
    exit_code = ExitCode.KAFKA
    default_remedy = "check --bootstrap-servers, and that Kafka runs and can be reached from here"


class KafkaRefusedError(FlowbridgeError):
    """Kafka answers, and refuses."""

    code = "kafka-refused"
    exit_code = ExitCode.KAFKA
    default_remedy = "check the credentials (--kafka-property) and the rights (ACLs) of this user"


class NewerRecordsError(FlowbridgeError):
    """A newer version of Flowbridge has written records to our topics that this one cannot read."""

    code = "newer-records"
    exit_code = ExitCode.KAFKA
    default_remedy = "upgrade this process to that version; nothing was changed or lost"


class NotPublishedError(FlowbridgeError):
    """Events were not acknowledged in time."""

    code = "not-published"
    exit_code = ExitCode.KAFKA
    default_remedy = "publish them again with the same --id: one that did arrive is then a duplicate"


class KubernetesUnreachableError(FlowbridgeError):
    """No API server answers."""

    code = "kubernetes-unreachable"
    exit_code = ExitCode.KUBERNETES
    default_remedy = "check KUBECONFIG, and that the API server runs and can be reached from here"


class KubernetesRefusedError(FlowbridgeError):
    """The API server answers, and refuses."""

    code = "kubernetes-refused"
    exit_code = ExitCode.KUBERNETES
    default_remedy = "check the account and its Role; deploy/base/role.yaml has what the bridge needs"


class RegistryUnreachableError(FlowbridgeError):
    """The schema registry does not answer."""

    code = "registry-unreachable"
    exit_code = ExitCode.REGISTRY
    default_remedy = "check --schema-registry-url, and that the registry runs and can be reached from here"
