"""The start of a run as Metaflow's first pod makes it: parameters into variables, variables into the flow's Parameters.

Between the two lies what a pod's image brings; here it is Metaflow's own commands, with its local store.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.bed.deploy import FLOWS, FORMS
from flows.bed.pods import exported

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_SECONDS = 120


def started(form: str, parameters: Mapping[str, str], folder: Path, optional: Collection[str]) -> dict[str, Any]:
    """Return the Parameters of a flow by name, as its steps would see them.

    Args:
        form: Name of the flow's file.
        parameters: The Workflow's parameters that are the flow's own.
        folder: An empty folder.
        optional: Those of them that have no default.

    """
    variables = exported(parameters, folder, optional)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "METAFLOW_USER": "tester",
        "METAFLOW_DATASTORE_SYSROOT_LOCAL": str(folder),
        **variables,
    }
    flow = [sys.executable, str(FLOWS / f"{form}.py"), "--quiet", "--metadata=local", "--datastore=local"]
    flow += ["--no-pylint", *FORMS[form]]
    for command in (
        ["init", "--run-id", "argo-run", "--task-id", "1-params"],
        ["dump", "--file", "values", "argo-run/_parameters/1-params"],
    ):
        subprocess.run([*flow, *command], cwd=folder, env=environment, check=True, timeout=_SECONDS)
    values: dict[str, Any] = pickle.loads((folder / "values").read_bytes())  # noqa: S301 (the test wrote it itself)
    return next(iter(values.values())) if "name" not in values else values
