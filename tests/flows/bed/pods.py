"""What happens to a parameter between Argo and a flow's process, by the code that Metaflow's pods run.

What Argo does to texts its own code says (servers/argo.py). The kubelet is not here; what it does is told by
:func:`kubelet_expanded`. The rest is Metaflow's own: its module that writes the file of exports, run as its pods run
it, and the shell that reads the file.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import metaflow

SHELL = "bash"
_PREFIX = "METAFLOW_INIT_"
_TAG = re.compile(r"\{\{\s*([A-Za-z0-9_.-]+)\s*\}\}")
_REFERENCE = re.compile(r"\$\$|\$\(([^)]*)\)")


def exported(parameters: Mapping[str, str], folder: Path, optional: Collection[str] = ()) -> dict[str, str]:
    """Return the variables that a pod has after Metaflow's export of parameters, besides those of every shell.

    Args:
        parameters: Texts of the Workflow's parameters.
        folder: Working directory of the pod.
        optional: Those with no default, which are left out where they are null.

    """
    listed = [
        f"{name},{'t' if name in optional else 'f'},{base64.b64encode(text.encode()).decode()}"
        for name, text in parameters.items()
    ]
    # By its file, which needs nothing of the package: `-m`, as in a pod, takes a second to import the rest.
    module = Path(metaflow.__file__).parent / "plugins" / "argo" / "set_parameters.py"
    subprocess.run(
        [sys.executable, str(module), "exports", *listed], cwd=folder, check=True, timeout=60, capture_output=True
    )
    return sourced("exports", folder)


def sourced(file: str, folder: Path) -> dict[str, str]:
    """Return the variables that a shell has after reading a file, besides those of every shell."""
    script = f". ./{file} 2>/dev/null; env -0"
    done = subprocess.run(
        [SHELL, "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        timeout=60,
        check=False,
    )
    pairs = (entry.partition("=") for entry in done.stdout.decode().split("\0") if entry)
    return {name: value for name, _, value in pairs if name not in ("PATH", "PWD", "SHLVL", "_", "OLDPWD")}


def run_in_command(option: str, text: str, folder: Path) -> list[str]:
    """Return the arguments that a command has whose line holds a parameter, as in early pods: ``--x={{…}}``."""
    line = f"printf '%s\\0' {_TAG.sub(lambda _: text, option)}"
    done = subprocess.run([SHELL, "-c", line], cwd=folder, capture_output=True, timeout=60, check=False)
    return done.stdout.decode().split("\0")[:-1]


def kubelet_expanded(text: str, variables: Mapping[str, str]) -> str:
    """Return an environment variable's value after the kubelet has expanded ``$(NAME)`` and ``$$`` in it."""
    return _REFERENCE.sub(lambda found: "$" if found[0] == "$$" else variables.get(found[1], found[0]), text)


def init_name(parameter: str) -> str:
    """Return the variable in which Metaflow's pod has a parameter."""
    return _PREFIX + parameter.upper().replace("-", "_")
