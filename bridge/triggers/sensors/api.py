"""The port to the cluster's Sensors: their changes, and a way to report errors to their owners.

Nothing here raises for an error of a cluster or a network, and nothing waits for them. An implementation selects
Sensors by :data:`LABELS`. A Sensor that loses a label counts as deleted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from bridge.cluster.responses import Plain
from bridge.cluster.watch import Away, Change, Listing

LABELS = {"app.kubernetes.io/name": "metaflow-sensor"}
"""The label of Metaflow's Sensors."""


News = Sequence[Listing[Plain] | Change[Plain]]
"""The changes of the Sensors of a namespace, in order. Each Sensor has a name."""


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
