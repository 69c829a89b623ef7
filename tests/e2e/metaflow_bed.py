"""A Metaflow user's surroundings for the end-to-end tests: all test flows deployed to the real API server.

Flows are deployed by the ``metaflow`` command, their events go to the gateway through a recorder, and their pods run
on nodes of the tests.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from kubernetes import client

from e2e.installation import DEADLINE
from flows.bed.deploy import FORMS, deploy
from flows.bed.node import Node, Ran
from flows.bed.recorder import Recorder
from flows.bed.stand_in import StandIn
from servers.argo import created_by_argo_events

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from e2e.installation import Installation, Manifest
    from servers.choice import AnyKubernetes

AT_ONCE = 2
"""How many commands of Metaflow run beside each other: a second or two of a core each."""

_PATIENCE = 3 * DEADLINE


class Deployed(NamedTuple):
    """What the deployment of a flow put on the cluster."""

    sensor: Manifest
    template: Manifest

    @property
    def name(self) -> str:
        """Name of the Sensor, and so of the trigger."""
        name: str = self.sensor["metadata"]["name"]
        return name


class MetaflowBed:
    """All test flows in the namespace of an installation.

    Attributes:
        flows: What is on the cluster, by form (flows/bed/deploy.py).
        recorder: Where publishers post; it keeps what they posted.

    """

    def __init__(self, installation: Installation, kubernetes: AnyKubernetes, s3: StandIn, recorder: Recorder) -> None:
        """Nothing is deployed yet."""
        self.flows: dict[str, Deployed] = {}
        self.recorder = recorder
        self._installation = installation
        self._kubernetes = kubernetes
        self._s3 = s3

    def deploy_all(self) -> None:
        """Deploy every form."""
        folder = self._installation.folder

        def deploy_one(form: str) -> None:
            home = _made(folder / "homes" / form)
            kubeconfig, namespace = self._kubernetes.kubeconfig, self._installation.namespace
            deploy(
                form,
                home=home,
                kubeconfig=kubeconfig,
                s3=self._s3.url,
                namespace=namespace,
                webhook=self.recorder.url,
            )

        with ThreadPoolExecutor(AT_ONCE) as commands:
            list(commands.map(deploy_one, FORMS))
        sensors, templates = self._listed("sensors"), self._listed("workflowtemplates")
        self.flows = {form: Deployed(sensors[flow_of(form)], templates[flow_of(form)]) for form in FORMS}

    def expected(self) -> dict[str, list[Manifest]]:
        """Return the Workflows that Argo Events creates for all that was posted, by form."""
        created = created_by_argo_events([flow.sensor for flow in self.flows.values()], self.recorder.posts)
        return {form: created[flow.name] for form, flow in self.flows.items()}

    def workflows(self, form: str, number: int) -> list[Manifest]:
        """Return the Workflows of a form's trigger, once there are so many."""
        return self._installation.wait_workflows(self.flows[form].name, number, _PATIENCE)

    def run_pods(self, workflows: Iterable[tuple[str, Manifest, bool]]) -> list[list[Ran]]:
        """Run pods, those of a Workflow one after another, and return what came of each.

        Args:
            workflows: Form, Workflow, and whether to run it to its end; else only its first step is run.

        """
        nodes: SimpleQueue[Node] = SimpleQueue()
        folder = self._installation.folder
        for number in range(AT_ONCE):
            nodes.put(Node(_made(folder / f"node-{number}"), folder / "compiled"))

        def run_one(form: str, workflow: Manifest, to_end: bool) -> list[Ran]:  # noqa: FBT001 (a part of a tuple)
            node = nodes.get()
            try:
                template = self.flows[form].template
                ran = [node.run(template, workflow, "start")]
                return [*ran, node.run(template, workflow, "end", ran[0].task)] if to_end else ran
            finally:
                nodes.put(node)

        with ThreadPoolExecutor(AT_ONCE) as pods:
            return list(pods.map(lambda workflow: run_one(*workflow), workflows))

    def _listed(self, plural: str) -> dict[str, Manifest]:
        """Return the objects of a kind in the namespace, by the name of their flow."""
        with self._kubernetes.api() as api:
            custom = client.CustomObjectsApi(api)
            namespace = self._installation.namespace
            listed: Any = custom.list_namespaced_custom_object("argoproj.io", "v1alpha1", namespace, plural)
        return {_flow_name(item): item for item in listed["items"]}


def flow_of(form: str) -> str:
    """Return the name of a form's flow: ``one_event`` is the file of ``OneEvent``."""
    return form.title().replace("_", "")


def _flow_name(manifest: Manifest) -> str:
    name: str = manifest["metadata"]["annotations"]["metaflow/flow_name"]
    return name.rpartition(".")[2]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
