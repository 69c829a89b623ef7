"""Deploying a test flow with the real ``metaflow`` command, as its user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from flows.bed.stand_in import BUCKET
from servers.cluster import write_kubeconfig

FLOWS = Path(__file__).parents[1]
"""Where the test flows are."""

FORMS: dict[str, tuple[str, ...]] = {
    "one_event": (),
    "two_events": (),
    "default_parameters": (),
    "mapping": (),
    "mapping_list": (),
    "two_mapped": (),
    "reset_at": (),
    "typed_parameters": (),
    "callable_events": (),
    "project_branch": ("--branch", "summer"),
    "finish_one": (),
    "finish_many": (),
    "finish_project": ("--production",),
    "finish_qualified": (),
    "finish_branch": ("--branch", "summer"),
    "window_lines": (),
}
"""Each test flow, a file name without its suffix, and what its command line has before ``argo-workflows``."""

S3_ACCESS = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "us-east-1"}
"""What a client of the stand-in's S3 wants to know."""

WEBHOOK = "http://127.0.0.1:12000/metaflow-event"

_SECONDS = 120


class DeployError(Exception):
    """The command failed; the text is what it said."""


def deploy(
    form: str,
    *,
    home: Path,
    kubeconfig: Path,
    s3: str,
    namespace: str,
    webhook: str = WEBHOOK,
    python: str = sys.executable,
) -> None:
    """Run ``argo-workflows create`` for one of :data:`FORMS`.

    Args:
        form: Name of the flow's file.
        home: An empty folder for what Metaflow keeps.
        kubeconfig: The cluster to deploy to.
        s3: URL of an S3.
        namespace: Namespace for the WorkflowTemplate and the Sensor.
        webhook: Where the flow's steps publish events.
        python: The interpreter that has ``metaflow``.

    Raises:
        DeployError: The command failed.

    """
    command = [python, str(FLOWS / f"{form}.py"), "--datastore=s3", "--no-pylint", *FORMS[form]]
    command += ["argo-workflows", "create"]
    environment = environment_of(home, kubeconfig, s3, namespace, webhook)
    done = subprocess.run(
        command, cwd=home, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    if done.returncode:
        raise DeployError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")


def environment_of(home: Path, kubeconfig: Path, s3: str, namespace: str, webhook: str = WEBHOOK) -> dict[str, str]:
    """Return the environment of a Metaflow user whose cluster and S3 are these."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONHASHSEED": "0",  # Metaflow lists the fields of the default mapping in the order of a set
        "KUBECONFIG": str(kubeconfig),
        "METAFLOW_HOME": str(home / ".metaflowconfig"),
        "METAFLOW_USER": "tester",
        "METAFLOW_DEFAULT_METADATA": "local",
        "METAFLOW_DATASTORE_SYSROOT_S3": f"s3://{BUCKET}/metaflow",
        "METAFLOW_S3_ENDPOINT_URL": s3,
        "METAFLOW_KUBERNETES_NAMESPACE": namespace,
        "METAFLOW_ARGO_EVENTS_EVENT": "metaflow-event",
        "METAFLOW_ARGO_EVENTS_EVENT_BUS": "default",
        "METAFLOW_ARGO_EVENTS_EVENT_SOURCE": "argo-events-webhook",
        "METAFLOW_ARGO_EVENTS_SERVICE_ACCOUNT": "operate-workflow-sa",
        "METAFLOW_ARGO_EVENTS_WEBHOOK_URL": webhook,
        **S3_ACCESS,
    }


def kubeconfig_of(url: str, folder: Path) -> Path:
    """Write a kubeconfig for the stand-in at ``url`` and return its path."""
    path = folder / "stand-in.kubeconfig"
    write_kubeconfig(path, {"server": url}, {"token": "none"})
    return path
