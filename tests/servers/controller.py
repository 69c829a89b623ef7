"""Argo's own workflow-controller, built from its Go module, as a process: with it Workflows run, end and fail.

No kubelet runs, so a pod that the controller creates stays ``Pending``. A template that only suspends needs no pod and
succeeds. What a pod would have been given can be read from the API server.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kubernetes import client

from servers.builds import argo_controller
from servers.loopback import answers, free_port
from servers.process import ServerProcess

if TYPE_CHECKING:
    from servers.cluster import Cluster

CONFIG_MAP = "workflow-controller-configmap"
EXECUTOR = "flowbridge.invalid/argoexec:none"
"""The image of the sidecars. No node pulls it."""

_START_SECONDS = 60.0
_STOP_SECONDS = 4.0
_REQUEST_SECONDS = 10
_CONFLICT = 409


class ArgoController:
    """A workflow-controller on a cluster. A context manager: started on entering, stopped on leaving.

    Args:
        cluster: The cluster, which runs already.
        namespace: The namespace of its ConfigMap, and the only one whose Workflows it runs.
        is_everywhere: It runs the Workflows of all namespaces.
        tethered: Whether it dies with this process, however that one ends.

    """

    def __init__(self, cluster: Cluster, namespace: str, *, is_everywhere: bool = False, tethered: bool = True) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._port = free_port()
        scope = [] if is_everywhere else ["--namespaced", f"--managed-namespace={namespace}"]
        options = [
            f"--kubeconfig={cluster.kubeconfig}",
            f"--namespace={namespace}",
            f"--configmap={CONFIG_MAP}",
            f"--executor-image={EXECUTOR}",
            "--loglevel=info",
            "--qps=500",  # the default of 20 requests a second is for large clusters
            "--burst=500",
            *scope,
        ]
        program = str(argo_controller() / "workflow-controller")
        environment = ["env", "LEADER_ELECTION_DISABLE=true"]
        log = cluster.folder / f"argo-controller-{namespace}.log"
        self._process = ServerProcess("Argo's controller", [*environment, program, *options], log, tethered=tethered)

    @property
    def pid(self) -> int:
        """The controller's pid."""
        return self._process.pid

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self._process.log

    def start(self) -> None:
        """Install Argo's kinds, and start the controller; wait until it serves its metrics.

        Raises:
            ServerError: It cannot be built, or did not answer in time.

        """
        self._cluster.install_kinds(*sorted((argo_controller() / "crds").glob("argoproj.io_*.yaml")))
        metrics = json.dumps({"enabled": True, "port": self._port, "secure": False})
        body: Any = {"metadata": {"name": CONFIG_MAP}, "data": {"metricsConfig": metrics}}
        with self._cluster.api() as api:
            core = client.CoreV1Api(api)
            try:
                core.create_namespaced_config_map(self._namespace, body, _request_timeout=_REQUEST_SECONDS)
            except client.ApiException as error:
                if error.status != _CONFLICT:
                    raise
                core.patch_namespaced_config_map(CONFIG_MAP, self._namespace, body, _request_timeout=_REQUEST_SECONDS)
        self._process.start()
        self._process.wait_until(lambda: answers(self._port), _START_SECONDS)

    def stop(self) -> None:
        """Stop it. Workflows stay as they are."""
        self._process.stop(_STOP_SECONDS)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
