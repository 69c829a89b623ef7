"""Servers for a person: they stay when the command that started them has ended, until they are taken down.

What is needed to find them again stands in ``.cluster/state.json``. A pid is used only while the process behind it
is the very one that was started, or runs the very same command: pids come back, and somebody else's process is not ours
to end.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes import client

from bridge.triggers.resources import read_text
from servers.controller import ArgoController
from servers.kafka import RUN_FAST, KafkaServer
from servers.kubernetes import KubernetesServer
from servers.process import ServerError, wait_for

NAMESPACE = "demo"
"""The namespace of the examples in the documentation that name none; it has the WorkflowTemplates of all of them."""

ARGO_NAMESPACE = "argo"
"""The namespace of Argo's controller, if it runs."""

_CONTROLLER = "workflow-controller"
_STOP_SECONDS = 10.0
_SHOWN = 80  # characters of a command line
_ROOT = Path(__file__).parents[2]
_FOLDER = _ROOT / ".cluster"
_STATE = _FOLDER / "state.json"
_START_TIME_FIELD = 19  # of /proc/PID/stat behind the program's name: "starttime", in ticks since the machine booted


@dataclass(frozen=True)
class Program:
    """A process that was started here.

    Attributes:
        name: What a person calls it.
        pid: Its pid.
        started: When it started, in the kernel's ticks; with the pid, what no other process shares.
        command: Its command line, as the kernel has it; names a file in the folder of the servers.

    """

    name: str
    pid: int
    started: int
    command: str = ""

    def runs(self) -> bool:
        """Return whether the pid still belongs to the process that was started."""
        return _started(self.pid) == self.started

    def running(self) -> list[Program]:
        """Return it if it runs, and whatever a person started by the same command since."""
        same = [pid for pid in _pids() if self.command and _command(pid) == self.command]
        found = [replace(self, pid=pid, started=started) for pid in same if (started := _started(pid)) is not None]
        return found if any(server.pid == self.pid for server in found) or not self.runs() else [self, *found]


@dataclass(frozen=True)
class Standing:
    """The servers of a person.

    Attributes:
        bootstrap: Kafka's address.
        kubeconfig: Path of the administrator's kubeconfig.
        programs: In the order in which they are to be stopped.

    """

    bootstrap: str
    kubeconfig: str
    programs: tuple[Program, ...]


def standing() -> Standing | None:
    """Return the servers that were started and whose programs all run, or None."""
    known = _known()
    return known if known and all(program.runs() for program in known.programs) else None


def stand_up(*, with_argo: bool = False) -> Standing:
    """Return the servers that stand, or start them. A start that fails leaves nothing behind.

    Args:
        with_argo: Also run Argo's controller, so that Workflows run. The example's templates then need no pods.

    Raises:
        ServerError: They cannot be built or started, or they run without Argo's controller.

    """
    already = standing()
    if already is not None:
        if with_argo and not any(program.name == _CONTROLLER for program in already.programs):
            raise ServerError("the servers run without Argo's controller: end them with `make cluster-down` first")
        return already
    take_down()  # what is left of an earlier one
    kafka = KafkaServer(_FOLDER / "kafka", java_options=RUN_FAST, tethered=False)
    kubernetes = KubernetesServer(_FOLDER / "kubernetes", tethered=False)
    argo: ArgoController | None = None
    try:
        kafka.start()
        kubernetes.start()
        _create_templates(kubernetes, need_no_pods=with_argo)
        if with_argo:
            kubernetes.create_namespace(ARGO_NAMESPACE)
            argo = ArgoController(kubernetes, ARGO_NAMESPACE, is_everywhere=True, tethered=False)
            argo.start()
        result = _described(kafka, kubernetes, argo)
        _STATE.write_text(json.dumps(asdict(result), indent=2) + "\n")
    except BaseException:
        if argo is not None:
            argo.stop()
        kubernetes.stop()
        kafka.stop()
        raise
    return result


def take_down() -> list[str]:
    """Stop what runs of the standing servers, remove their data, and return the names of what was stopped.

    A server that a person started again by the same command is stopped as well.

    Raises:
        ServerError: Another process still uses their data; nothing of it was removed.

    """
    known = _known()
    running = [program for known_program in (known.programs if known else ()) for program in known_program.running()]
    for program in running:
        _end(program)
    others = [pid for pid in _pids() if f"{_FOLDER}/" in _command(pid)]
    if others:
        text = ", ".join(f"{pid} ({_command(pid)[:_SHOWN]}...)" for pid in others)
        raise ServerError(f"their data in {_FOLDER} is still used by {text}: end that, and run this again")
    shutil.rmtree(_FOLDER, ignore_errors=True)
    return [program.name for program in running]


def _known() -> Standing | None:
    try:
        state = json.loads(_STATE.read_text())
        programs = tuple(Program(**program) for program in state["programs"])
        return Standing(state["bootstrap"], state["kubeconfig"], programs)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ServerError(f"{_STATE} cannot be read ({error}); end the servers by hand and remove {_FOLDER}") from None


def _described(kafka: KafkaServer, kubernetes: KubernetesServer, argo: ArgoController | None) -> Standing:
    etcd, apiserver = kubernetes.pids
    pids = {"kube-apiserver": apiserver, "etcd": etcd, "Kafka": kafka.pid}  # the API server before its etcd
    if argo is not None:
        pids = {_CONTROLLER: argo.pid, **pids}
    programs = tuple(Program(name, pid, _started(pid) or 0, _command(pid)) for name, pid in pids.items())
    return Standing(kafka.bootstrap, str(kubernetes.kubeconfig), programs)


def _create_templates(kubernetes: KubernetesServer, *, need_no_pods: bool) -> None:
    templates = example_templates()
    for template in templates if need_no_pods else ():
        (step,) = template["spec"]["templates"]
        del step["container"]
        step["suspend"] = {"duration": "0s"}  # no kubelet runs, and this step ends without a pod
    for namespace in {NAMESPACE, *(template["metadata"]["namespace"] for template in templates)}:
        kubernetes.create_namespace(namespace)
    with kubernetes.api() as api:
        custom = client.CustomObjectsApi(api)
        for body in templates:
            arguments = ("argoproj.io", "v1alpha1", body["metadata"]["namespace"], "workflowtemplates", body)
            custom.create_namespaced_custom_object(*arguments, _request_timeout=10)


def example_templates() -> list[dict[str, Any]]:
    """Return a WorkflowTemplate for each that a trigger in the README or in the documentation names.

    Its parameters are those that triggers fill. Where the payload fills them, they are fields that the trigger names.
    """
    parameters: dict[tuple[str, str], dict[str, Any]] = {}
    for page in (_ROOT / "README.md", *sorted((_ROOT / "docs" / "triggers").glob("*.md"))):
        for text in re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            loaded, _ = read_text(text, str(page), str(page), NAMESPACE)
            for trigger in (loaded_trigger.trigger for loaded_trigger in loaded):
                names = [name for name, _ in trigger.run.parameters]
                names += [name for slot in trigger.slots for name, _ in slot.parameters]
                if trigger.is_default_mapped:
                    names = re.findall(r"payload\.(\w+)", text)
                taken = parameters.setdefault((trigger.run.namespace, trigger.run.template), {})
                taken |= {
                    name: {"name": name, **({"value": ""} if trigger.is_default_mapped else {})} for name in names
                }
    return [_template(*place, list(taken.values())) for place, taken in parameters.items()]


def _template(namespace: str, name: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    shown = " ".join(f"{parameter['name']}={{{{inputs.parameters.{parameter['name']}}}}}" for parameter in parameters)
    inputs = {"parameters": [{"name": parameter["name"]} for parameter in parameters]}
    container = {"image": "busybox:1.37", "command": ["echo", shown]}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "entrypoint": "show",
            "arguments": {"parameters": parameters},
            "templates": [{"name": "show", "inputs": inputs, "container": container}],
        },
    }


def _end(program: Program) -> None:
    with suppress(ProcessLookupError):
        os.kill(program.pid, signal.SIGTERM)
    with suppress(TimeoutError):
        wait_for(lambda: not program.runs(), _STOP_SECONDS, program.name)
    if program.runs():
        os.kill(program.pid, signal.SIGKILL)
        wait_for(lambda: not program.runs(), _STOP_SECONDS, f"{program.name} to end")


def _pids() -> list[int]:
    """Return the pids of this user's other processes."""
    found = []
    for place in Path("/proc").iterdir():
        with suppress(OSError):
            if place.name.isdecimal() and place.stat().st_uid == os.getuid() and int(place.name) != os.getpid():
                found.append(int(place.name))
    return found


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces
    return None if state in "ZX" else int(fields[_START_TIME_FIELD - 1])
