"""``python -m servers up | down | build``: the test bed's servers for a person.

``up`` starts Kafka and the Kubernetes API server in the background and prints the settings to use; ``down`` stops
them and removes their data; ``build`` fills the cache that both and the tests start from. With ``--argo``, Argo's
controller belongs to them.
"""

from __future__ import annotations

import argparse
import sys

from servers.builds import argo_controller, broker_jars, control_plane
from servers.process import ServerError
from servers.standing import NAMESPACE, stand_up, take_down


def main() -> int:
    """Run one command and return its exit code: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m servers", description="Kafka and a Kubernetes API server to try")
    commands = {"up": _up, "down": _down, "build": _build}
    parser.add_argument("command", choices=commands)
    parser.add_argument("--argo", action="store_true", help="Argo's controller as well, so that Workflows run")
    options = parser.parse_args()
    try:
        commands[options.command](with_argo=options.argo)
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _up(*, with_argo: bool) -> None:
    servers = stand_up(with_argo=with_argo)
    print("# Kafka and a Kubernetes API server run on this machine until `make cluster-down`. Settings to use:")
    print(f"export FLOWBRIDGE_BOOTSTRAP_SERVERS={servers.bootstrap}")
    print(f"export KUBECONFIG={servers.kubeconfig}")
    print(f"export FLOWBRIDGE_NAMESPACE={NAMESPACE}")
    print(
        f"# The namespace {NAMESPACE} has the WorkflowTemplates of the documentation's triggers. To try the README's:"
    )
    print("#   flowbridge check --cluster shipping.yaml && flowbridge run --triggers shipping.yaml")
    if with_argo:
        print("# Argo's controller runs them. The templates suspend for no time, since no node runs pods.")
    else:
        print("# Workflows are created there, and no controller runs them. With ARGO=1 Argo's controller does.")


def _down(*, with_argo: bool) -> None:
    del with_argo  # whatever runs is stopped
    stopped = take_down()
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def _build(*, with_argo: bool) -> None:
    print(f"Kafka: {broker_jars()}")
    print(f"Kubernetes: {control_plane()}")
    if with_argo:
        print(f"Argo's controller: {argo_controller()}")


if __name__ == "__main__":
    sys.exit(main())
