"""The port to the cluster's Sensors: a list of them, and what changed since.

Nothing here raises for what a cluster or a network does; each outcome is a value. An implementation selects Sensors by
:data:`LABELS`; one that loses the label is deleted as far as the port goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LABELS = {"app.kubernetes.io/name": "metaflow-sensor"}
"""What Metaflow labels its Sensors with."""

Plain = Mapping[str, Any]
"""A JSON object, as Kubernetes answers it."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All Sensors of a namespace at one moment.

    Attributes:
        sensors: The Sensors.
        version: The moment, for :meth:`SensorApi.changes`.

    """

    sensors: Sequence[Plain]
    version: str


@dataclass(frozen=True, slots=True)
class Change:
    """A Sensor that was put or deleted.

    Attributes:
        kind: What became of it.
        sensor: The Sensor; of a deleted one its last state.
        version: The moment of the change.

    """

    kind: Literal["put", "deleted"]
    sensor: Plain
    version: str


@dataclass(frozen=True, slots=True)
class Expired:
    """What changed since that version is no longer known: a new list is needed."""


@dataclass(frozen=True, slots=True)
class Away:
    """The API could not be asked, or refused; nothing follows for any Sensor."""

    reason: str


class SensorApi(ABC):
    """Sensors on a cluster."""

    @abstractmethod
    def sensors(self, namespace: str) -> Listing | Away:
        """Return the Sensors of a namespace now."""

    @abstractmethod
    def changes(self, namespace: str, version: str) -> Sequence[Change] | Expired | Away:
        """Return what changed in a namespace since ``version``, as far as it is known, without waiting."""
