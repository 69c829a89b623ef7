"""The Sensors of a real cluster: a watch for each namespace that is read, and Kubernetes Events on wrong Sensors."""

from __future__ import annotations

from typing import Any

from bridge.cluster.api_server import ApiServer
from bridge.cluster.responses import Plain
from bridge.triggers.sensors.api import Away, News, SensorApi
from bridge.triggers.sensors.notices import Notices
from bridge.triggers.sensors.watch import Watch


class KubernetesSensorApi(SensorApi):
    """The Sensors of the cluster that a client is configured for.

    Args:
        client: A ``kubernetes.client.ApiClient``, with a connection for each namespace and one more.

    """

    def __init__(self, client: Any) -> None:
        self._server = ApiServer(client)
        self._notices = Notices(self._server)
        self._watches: dict[str, Watch] = {}

    def news(self, namespace: str) -> News | Away:
        """Return the changes of a namespace (:meth:`SensorApi.news`)."""
        watch = self._watches.get(namespace)
        if watch is None:
            watch = self._watches[namespace] = Watch(self._server, namespace)
        return watch.take()

    def report(self, sensor: Plain, message: str) -> None:
        """Attach a warning to a Sensor (:meth:`SensorApi.report`)."""
        self._notices.write(sensor, message)

    def rest(self) -> None:
        """End all watches."""
        while self._watches:
            self._watches.popitem()[1].stop()
