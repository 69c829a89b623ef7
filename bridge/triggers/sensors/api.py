"""The port to the cluster's Sensors: their changes, and a way to report errors to their owners.

Nothing here raises for an error of a cluster or a network, and nothing waits for them. An implementation selects
Sensors by :data:`LABELS`. A Sensor that loses a label counts as deleted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.cluster.responses import Plain

LABELS = {"app.kubernetes.io/name": "metaflow-sensor"}
"""The label of Metaflow's Sensors."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All Sensors of a namespace at one moment. Other Sensors do not exist.

    Attributes:
        sensors: The Sensors; each has a name.

    """

    sensors: Sequence[Plain]


@dataclass(frozen=True, slots=True)
class Change:
    """A Sensor that was put or deleted.

    Attributes:
        kind: Whether it was put or deleted.
        sensor: The Sensor; its last state if it was deleted.

    """

    kind: Literal["put", "deleted"]
    sensor: Plain


@dataclass(frozen=True, slots=True)
class Away:
    """The API could not be asked, or it refused. Nothing follows for any Sensor."""

    reason: str


News = Sequence[Listing | Change]
"""The changes of a namespace, in order."""


class SensorApi(ABC):
    """Sensors on a cluster."""

    @abstractmethod
    def news(self, namespace: str) -> News | Away:
        """Return the changes of a namespace since the last call.

        The first of them is a :class:`Listing`. Another listing follows if changes may have been missed. An empty
        result may mean that the first listing is not there yet.
        """

    @abstractmethod
    def report(self, sensor: Plain, message: str) -> None:
        """Attach a warning to a Sensor, so that ``kubectl describe`` shows it. It is tried once, later, without a wait.

        The same message on the same Sensor is one Kubernetes Event, however often it is reported.
        """

    @abstractmethod
    def rest(self) -> None:
        """Stop all watches. Each namespace then starts with a listing again."""
