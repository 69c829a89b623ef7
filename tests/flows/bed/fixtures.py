"""The Sensors that ``metaflow`` writes for the test flows, as files that tests read.

    python -m flows.bed.fixtures            # with the installed metaflow, from tests/
    python -m flows.bed.fixtures 2.12.0     # with another one, which uv fetches: the flows of GENERATIONS

writes ``tests/unit/triggers/sensors/metaflow-<version>/<flow>.json``: Sensor and WorkflowTemplate as Kubernetes got
them, without what differs from one deployment to the next.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.bed.deploy import FORMS, DeployError, deploy, kubeconfig_of
from flows.bed.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMESPACE = "jobs"
GENERATIONS = {
    "2.9.0": "dataKey",
    "2.11.5": "toJson",
    "2.12.0": "hasKey and toJson",
    "2.15.0": "get and toRawJson",
    "2.17.5": "JSONType in single quotes",
}
"""Earlier versions of Metaflow, each the bearer of another way to write a parameter's template."""
GENERATION_FORMS = ("default_parameters", "finish_one", "two_mapped", "typed_parameters")
FOLDER = Path(__file__).parents[2] / "unit" / "triggers" / "sensors"

_CHANGING = frozenset({"metaflow/deployment_timestamp", "metaflow/production_token", "resourceVersion", "container"})
_SERVERS_OWN = frozenset({"uid", "creationTimestamp", "generation", "managedFields"})
_EXPORTS = re.compile(r"(python -m metaflow.plugins.argo.set_parameters .*? && \. `pwd`/[a-z]+)")
_OPTIONS = re.compile(r"--[\w-]+=[^\s{]*\{\{workflow\.parameters[^}]*\}\}\S*")
_FILE_NAME = re.compile(r"(set_parameters |\. `pwd`/)[a-z]+")


def generated(form: str, python: str = sys.executable) -> dict[str, Any]:
    """Deploy a test flow to stand-ins and return what came: ``sensor`` and ``template``.

    Raises:
        DeployError: The command failed, or there is no Sensor.

    """
    with tempfile.TemporaryDirectory() as folder, StandIn() as stand_in:
        home = Path(folder)
        kubeconfig = kubeconfig_of(stand_in.url, home)
        deploy(form, home=home, kubeconfig=kubeconfig, s3=stand_in.url, namespace=NAMESPACE, python=python)
        sensors, templates = stand_in.of_kind("sensors"), stand_in.of_kind("workflowtemplates")
    if not sensors:
        raise DeployError(f"{form}: no Sensor came")
    return {"sensor": _settled(sensors[-1]), "template": _settled(_concise(templates[-1]))}


def fixture_path(form: str, metaflow: str) -> Path:
    """Return where the fixture of a flow and a version of Metaflow is."""
    return FOLDER / f"metaflow-{metaflow}" / f"{form}.json"


def fixture(form: str, metaflow: str | None = None) -> dict[str, Any]:
    """Return a fixture; of the installed Metaflow, if no version is given."""
    read: dict[str, Any] = json.loads(fixture_path(form, metaflow or version("metaflow")).read_text())
    return read


def comparable(sensor: dict[str, Any], namespace: str) -> dict[str, Any]:
    """Return a Sensor on a cluster as its fixture shows it: without what the server adds, in :data:`NAMESPACE`."""
    read = json.loads(json.dumps(sensor).replace(f'"{namespace}"', f'"{NAMESPACE}"'))
    metadata = {name: value for name, value in read["metadata"].items() if name not in _SERVERS_OWN}
    settled: dict[str, Any] = _settled({**read, "metadata": metadata})
    return settled


def _settled(plain: Any) -> Any:
    """Return ``plain`` without what differs from one deployment to the next."""
    if isinstance(plain, dict):
        return {name: _settled(value) for name, value in plain.items() if name not in _CHANGING}
    return [_settled(value) for value in plain] if isinstance(plain, list) else plain


def _concise(template: dict[str, Any]) -> dict[str, Any]:
    """Return a WorkflowTemplate with its arguments, and how its first pod turns parameters into variables."""
    containers = [part["container"] for part in template["spec"]["templates"] if part.get("container")]
    scripts = [
        str(part) for container in containers for name in ("command", "args") for part in container.get(name) or ()
    ]
    exports = [found for script in scripts for form in (_EXPORTS, _OPTIONS) for found in form.findall(script)]
    arguments = {"arguments": template["spec"]["arguments"]}
    return {
        "metadata": template["metadata"],
        "spec": arguments,
        "exports": [_FILE_NAME.sub(r"\1FILE", export) for export in exports],
    }


def _interpreter(metaflow: str, folder: str) -> str:
    """Make an environment with this version of Metaflow in ``folder`` and return its interpreter."""
    packages = (f"metaflow=={metaflow}", "boto3>=1.40", "kubernetes", "setuptools<81")  # early ones need pkg_resources
    python = f"{folder}/bin/python"
    subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, folder], check=True)
    subprocess.run(["uv", "pip", "install", "--quiet", "--python", python, *packages], check=True)
    return python


def main(arguments: Sequence[str]) -> None:
    """Write the fixtures of the installed Metaflow, or of the version that is named."""
    if not arguments:
        _write(version("metaflow"), tuple(FORMS), sys.executable)
        return
    with tempfile.TemporaryDirectory() as folder:
        _write(arguments[0], GENERATION_FORMS, _interpreter(arguments[0], folder))


def _write(metaflow: str, forms: Sequence[str], python: str) -> None:
    for form in forms:
        path = fixture_path(form, metaflow)
        path.parent.mkdir(parents=True, exist_ok=True)
        plain = generated(form, python)
        path.write_text(json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
