"""A node of the tests: runs the pods of a Workflow with their whole command, as they stand in the WorkflowTemplate.

Argo's part is done by Argo's own code (servers/argo.py), the kubelet's by :func:`flows.bed.pods.kubelet_expanded`, the
rest by a real shell and Metaflow's own commands: they fetch the flow's code from S3, export the parameters, start the
run, run the step, publish what the step publishes. Only three things are not as in a pod: packages are not installed,
and the volume ``/mnt/out`` and the file in ``/tmp`` are in the pod's folder.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.bed.deploy import S3_ACCESS
from flows.bed.pods import SHELL, kubelet_expanded
from flows.shown import MARK
from servers.argo import substituted_by_argo

if TYPE_CHECKING:
    from collections.abc import Mapping

Plain = dict[str, Any]

_SECONDS = 300
_VOLUME = """\
import builtins, os
_open = builtins.open
def open(file, *arguments, **named):
    if isinstance(file, str) and file.startswith("/mnt/out/"):
        file = os.environ["POD_FOLDER"] + "/out/" + file.removeprefix("/mnt/out/")
    return _open(file, *arguments, **named)
builtins.open = open
"""
"""What Python imports first in a pod of ours: its files of the volume ``/mnt/out`` are in the pod's folder."""


@dataclass(frozen=True)
class Ran:
    """What came of a pod.

    Attributes:
        code: Its exit code.
        output: All that it printed.
        files: Names of the files that it left in its working directory.
        task: The id of its task, as it leaves it to the next step; empty where it came to none.

    """

    code: int
    output: str
    files: frozenset[str]
    task: str

    @property
    def shown(self) -> Plain:
        """What the step showed (flows/shown.py)."""
        (line,) = [line for line in self.output.splitlines() if line.startswith(MARK)]
        shown: Plain = json.loads(line.removeprefix(MARK))
        return shown


class Node:
    """Runs one pod at a time, in a folder that each finds empty.

    Compiled Python is kept from one pod to the next, which halves their time.
    """

    def __init__(self, folder: Path, compiled: Path) -> None:
        """Nothing runs yet.

        Args:
            folder: Belongs to the node.
            compiled: Where compiled Python is kept; nodes may share it.

        """
        self._folder = folder
        self._compiled = compiled

    def run(self, template: Plain, workflow: Plain, step: str, before: str = "") -> Ran:
        """Run the pod of a step to its end.

        Args:
            template: The WorkflowTemplate.
            workflow: The Workflow.
            step: Name of the step.
            before: Id of the task of the step before.

        """
        pod = self._folder / "pod"
        shutil.rmtree(pod, ignore_errors=True)
        for name in ("out", "site", "work"):
            (pod / name).mkdir(parents=True)
        (pod / "site" / "sitecustomize.py").write_text(_VOLUME)
        container = container_of(template, workflow, step, before)
        command = [part.replace("/tmp/", f"{pod}/") for part in container["command"]]  # noqa: S108 (what Metaflow writes)
        done = subprocess.run(
            [shutil.which(SHELL) or SHELL, *command[1:]],
            cwd=pod / "work",
            env={**self._environment(pod), **environment_of(container)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        task = pod / "out" / "task_id"
        files = frozenset(str(path.relative_to(pod / "work")) for path in (pod / "work").rglob("*") if path.is_file())
        return Ran(done.returncode, done.stdout, files, task.read_text() if task.exists() else "")

    def _environment(self, pod: Path) -> dict[str, str]:
        """Return what the image and the pod bring, besides what the WorkflowTemplate says."""
        return {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(pod),
            "PYTHONPATH": str(pod / "site"),
            "PYTHONPYCACHEPREFIX": str(self._compiled),
            "POD_FOLDER": str(pod),
            "METAFLOW_SKIP_INSTALL_DEPENDENCIES": "yes",
            **S3_ACCESS,
        }


def container_of(template: Plain, workflow: Plain, step: str, before: str = "") -> Plain:
    """Return the container of a step's pod, as Argo makes it of the WorkflowTemplate for a Workflow."""
    variables = _variables(template, workflow)
    templates = {part["name"]: part for part in template["spec"]["templates"]}
    (task,) = [task for task in templates[template["spec"]["entrypoint"]]["dag"]["tasks"] if task["name"] == step]
    previous = {f"tasks.{name}.outputs.parameters.task-id": before for name in templates}
    given = substituted_by_argo(task["arguments"]["parameters"], variables, previous)
    inputs = {f"inputs.parameters.{parameter['name']}": parameter["value"] for parameter in given}
    container: Plain = substituted_by_argo(templates[step]["container"], variables, inputs)
    return container


def environment_of(container: Plain) -> dict[str, str]:
    """Return a container's variables as the kubelet sets them; what would come from the pod is ``pod``."""
    environment: dict[str, str] = {}
    for variable in container["env"]:
        text = "pod" if variable.get("valueFrom") else variable.get("value") or ""
        environment[variable["name"]] = kubelet_expanded(text, environment)
    return environment


def _variables(template: Plain, workflow: Plain) -> Mapping[str, str]:
    """Return what Argo knows of a Workflow."""
    metadata = workflow["metadata"]
    given = {parameter["name"]: parameter["value"] for parameter in workflow["spec"]["arguments"]["parameters"]}
    defaults = {parameter["name"]: parameter["value"] for parameter in template["spec"]["arguments"]["parameters"]}
    return {
        "workflow.name": metadata["name"],
        "workflow.namespace": metadata["namespace"],
        "workflow.creationTimestamp": metadata.get("creationTimestamp", "2026-01-01T00:00:00Z"),
        "workflow.serviceAccountName": "default",
        **{f"workflow.parameters.{name}": value for name, value in {**defaults, **given}.items()},
    }
