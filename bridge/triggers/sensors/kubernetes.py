"""The Sensors of a real cluster: a watch for each namespace that is read, and Kubernetes Events on wrong Sensors."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from bridge.cluster.api_server import ApiServer
from bridge.cluster.responses import Plain
from bridge.cluster.watch import Away, Watch
from bridge.triggers.sensors.api import LABELS, News, SensorApi
from bridge.triggers.sensors.notices import Notices


class KubernetesSensorApi(SensorApi):
    """The Sensors of the cluster that a client is configured for.

    Args:
        client: A ``kubernetes.client.ApiClient``, with a connection for each namespace and one more.

    """

    def __init__(self, client: Any) -> None:
        self._server = ApiServer(client)
        self._notices = Notices(self._server)
        self._watches: dict[str, Watch[Plain]] = {}

    def news(self, namespace: str) -> News | Away:
        """Return the changes of a namespace (:meth:`SensorApi.news`)."""
        watch = self._watches.get(namespace)
        if watch is None:
            path = f"/apis/argoproj.io/v1alpha1/namespaces/{quote(namespace, safe='')}/sensors"
            watch = self._watches[namespace] = Watch(self._server, path, LABELS, named_sensor)
        return watch.take()

    def report(self, sensor: Plain, message: str) -> None:
        """Attach a warning to a Sensor (:meth:`SensorApi.report`)."""
        self._notices.write(sensor, message)

    def rest(self) -> None:
        """End all watches."""
        while self._watches:
            self._watches.popitem()[1].stop()


def named_sensor(sensor: Any) -> Plain:
    """Return a Sensor of the API, which has a name.

    Raises:
        KeyError, TypeError: It has none.

    """
    if not isinstance(sensor["metadata"]["name"], str):
        raise TypeError("a Sensor without a name")
    named: Plain = sensor
    return named
