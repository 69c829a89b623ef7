"""The port to the cluster's Sensors: what is new of them, and a way to tell their owners what is wrong.

Nothing here raises for what a cluster or a network does, and nothing waits for one. An implementation selects Sensors
by :data:`LABELS`; one that loses the label is deleted as far as the port goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bridge.cluster.responses import Plain

LABELS = {"app.kubernetes.io/name": "metaflow-sensor"}
"""What Metaflow labels its Sensors with."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All Sensors of a namespace at one moment: what is not here is not there.

    Attributes:
        sensors: The Sensors; each has a name.

    """

    sensors: Sequence[Plain]


@dataclass(frozen=True, slots=True)
class Change:
    """A Sensor that was put or deleted.

    Attributes:
        kind: What became of it.
        sensor: The Sensor; of a deleted one its last state.

    """

    kind: Literal["put", "deleted"]
    sensor: Plain


@dataclass(frozen=True, slots=True)
class Away:
    """The API could not be asked, or refused; nothing follows for any Sensor."""

    reason: str


News = Sequence[Listing | Change]
"""What became known of a namespace, in order."""


class SensorApi(ABC):
    """Sensors on a cluster."""

    @abstractmethod
    def news(self, namespace: str) -> News | Away:
        """Return what became known of a namespace since this was last asked.

        It begins with a :class:`Listing`; another one comes where changes may have been missed. Nothing may mean that
        the first list is still on its way.
        """

    @abstractmethod
    def report(self, sensor: Plain, message: str) -> None:
        """Attach a warning to a Sensor, where ``kubectl describe`` shows it: tried once, later, and never in the way.

        The same message on the same Sensor is one Event, however often it is reported.
        """

    @abstractmethod
    def rest(self) -> None:
        """Stop watching; each namespace then begins with a list again."""
