"""What Argo Events and Argo Workflows do, answered by their own code: programs around their Go packages.

They are expectations that owe nothing to the bridge. Nothing of them runs beside the bridge, and no cluster is needed.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

from servers import builds
from servers.process import ServerError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Plain = dict[str, Any]
"""A JSON object."""

_SECONDS = 60


def created_by_argo_events(sensors: Sequence[Plain], posts: Sequence[str]) -> dict[str, list[Plain]]:
    """Return the Workflows that Argo Events creates for each Sensor, by its name, in their order.

    Args:
        sensors: Sensors, as Kubernetes answers them.
        posts: Bodies that were posted to its webhook, in their order.

    Raises:
        ServerError: The program failed, or cannot be built.

    """
    (line,) = _answers("workflows", [{"sensors": list(sensors), "posts": list(posts)}])
    created: dict[str, list[Plain]] = line
    return created


def substituted_by_argo(template: Any, variables: Mapping[str, str], inputs: Mapping[str, str]) -> Any:
    """Return a part of a template as Argo Workflows makes a pod of it, with all that it replaces.

    Its controller replaces thrice, each time in the text that the last time left: the Workflow's variables, with those
    the inputs of the template, and all of them in the finished pod. So a value may bring in a tag that is replaced.

    Args:
        template: Any JSON.
        variables: ``workflow.name``, ``workflow.parameters.x`` and the like.
        inputs: ``inputs.parameters.x`` and the like.

    Raises:
        ServerError: The program failed, or cannot be built.

    """
    everything = {**variables, **inputs}
    (answer,) = _answers("templates", [{"template": template, "rounds": [dict(variables), everything, everything]}])
    return answer


def _answers(program: str, questions: Sequence[Plain]) -> list[Any]:
    asked = "".join(f"{json.dumps(question)}\n" for question in questions)
    command = [str(builds.argo_programs() / program)]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise ServerError(f"{program} of Argo's own code failed:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines()]
