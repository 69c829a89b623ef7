"""The Workflow API of a simulated world: the in-memory one behind a network, and what befalls Workflows afterwards.

A create travels: what was sent may be applied later than anybody waits for it, at most :data:`ON_THE_WIRE` later, even
when its sender is dead by then. Every Workflow that exists is finished at once and deleted by its TTL, held for a while
by a finalizer. The documented assumption is kept, and nothing wider: a Workflow outlives the setting ``lifetime`` by
more than a create can be under way (a pause behind the last look at the clock, and the wire).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from zlib import crc32

from bridge.argo.api import PhaseWatch, Unavailable, WorkflowApi
from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, REFUSED_CONNECTION, MemoryWorkflowApi, answered
from bridge.argo.workflow import Workflow, WorkflowTemplate
from bridge.cluster.responses import Answer, Plain, Response, Unknown
from bridge.core.event import SECOND, Micros
from simulation.conditions import BRIEF, OTHER, TEMPLATE
from simulation.coroutines import KilledError
from simulation.effects import Victim

LIFETIME: Micros = 30 * SECOND
"""The setting: how long a finished Workflow lives at least."""

LIVES: Micros = LIFETIME + 60 * SECOND
"""How long one really lives."""

SHORT_LIFE: Micros = 20 * SECOND
"""How long a finished Workflow of the template ``brief`` lives, by its TTL."""

HANGS: Micros = 10 * SECOND
"""How long a create is waited for that a webhook holds."""

ON_THE_WIRE: Micros = 6 * SECOND
"""How long a create may travel."""

APPLIED_WITHIN: Micros = 2 * ON_THE_WIRE
"""What the submitter takes for the longest time that one travels."""

_HELD: Micros = 20 * SECOND  # how long a finalizer holds a Workflow that is being deleted

_SEEN = 4  # creates that were answered that it is there already; its creator may have died of some of them

_FAULTS = {
    "lost": LOST_ANSWER,
    "never": LOST_REQUEST,
    "refused": REFUSED_CONNECTION,
    "busy": answered(429, "TooManyRequests", "slow down", retry_after=2),
    "broken": answered(500, "InternalError", "etcd is away"),
    "quota": answered(403, "Forbidden", "exceeded quota: q"),
}

ANSWERS = (*_FAULTS, "late", "taken", "terminating", "ours-terminating")
"""What a create can meet."""


class Cluster:
    """All Workflows, and what is under way to them.

    Attributes:
        created: By run key, the Workflows that were ever created for it.
        foreign: Names that others took.
        fails: Every create is answered by 500, and nothing is made of it.
        hanging: Namespaces whose creates a webhook holds until nobody waits for them any more.
        made_at: When the first Workflow of a run was made, by run key.
        template_is: ``missing``, ``forbidden``, or there if empty.

    """

    def __init__(self, clock: Callable[[], Micros]) -> None:
        self._clock = clock
        self.created: dict[str, list[Workflow]] = {}
        self.foreign: set[str] = set()
        self.fails = False
        self.hanging: set[str] = set()
        self.made_at: dict[str, Micros] = {}
        self.template_is = ""
        self.api = MemoryWorkflowApi(
            clock=lambda: clock() / SECOND, namespaces=("default", OTHER), on_created=self._note
        )
        self.api.add_template("default", TEMPLATE, defaults=("k", "n", "key"))
        self.api.add_template(OTHER, TEMPLATE, defaults=("k", "n", "key"))
        self.api.add_template("default", BRIEF, defaults=("k", "n", "key"), ttl=SHORT_LIFE / SECOND)
        self._namespaces: dict[str, str] = {}
        self._gone_at: dict[str, tuple[Micros, bool]] = {}
        self._under_way: list[tuple[Micros, Plain]] = []
        self._answers: list[str] = []
        self._refusals: dict[str, int] = {}

    def _note(self, workflow: Workflow) -> None:
        if workflow.name in self.foreign:
            return
        self.created.setdefault(workflow.run_key or "", []).append(workflow)
        self.made_at.setdefault(workflow.run_key or "", self._clock())
        is_brief = workflow.manifest["spec"]["workflowTemplateRef"]["name"] == BRIEF
        self._namespaces[workflow.name] = workflow.manifest["metadata"]["namespace"]
        self._gone_at[workflow.name] = (self._clock() + (SHORT_LIFE if is_brief else LIVES), is_brief)

    def answer_next(self, answer: str) -> None:
        """Let a create meet this answer."""
        self._answers.append(answer)

    def create(self, manifest: Plain, timeout: float) -> Response:
        """Do what becomes of a create that was sent."""
        if self.fails:
            self.api.fail_next(_FAULTS["broken"])
            return self.api.create(manifest, timeout=timeout)
        answer = self._answers.pop(0) if self._answers else ""
        if answer == "late":
            self.send_off(manifest)
            return Unknown("timed out: it is still under way")
        name = manifest["metadata"]["name"]
        if answer in ("taken", "terminating"):
            self._take_name(name, terminating=answer == "terminating")
        elif answer in _FAULTS:
            self.api.fail_next(_FAULTS[answer])
        response = self.api.create(manifest, timeout=timeout)
        self._refused(name, response)
        if answer == "ours-terminating" and self._is_there(name):  # somebody deletes it, and its finalizer holds it
            self.api.delete(self._namespaces[name], name, held=True)
            self._refusals[name] = 0
            return Unknown("timed out: the answer was lost")
        return response

    def _refused(self, name: str, response: Response) -> None:
        """Let go of a Workflow that somebody deletes, once its creator must have seen that it is there."""
        if name in self._refusals and isinstance(response, Answer) and response.status == HTTPStatus.CONFLICT:
            self._refusals[name] += 1
            if self._refusals[name] == _SEEN:
                self._gone_at[name] = (self._clock(), True)

    def send_off(self, manifest: Plain) -> None:
        """Let a create travel, whatever becomes of its sender."""
        self._under_way.append((self._clock() + ON_THE_WIRE, manifest))

    def _take_name(self, name: str, *, terminating: bool) -> None:
        if self._is_there(name) or name in self._gone_at:
            return  # it was created already
        self.foreign.add(name)
        self.api.create({"metadata": {"namespace": "default", "name": name}, "spec": {}}, timeout=1)
        if terminating:
            self.api.delete("default", name, held=True)
            self._gone_at[name] = (self._clock() + _HELD, True)

    def _is_there(self, name: str) -> bool:
        return (self._namespaces.get(name, "default"), name) in self.api._workflows

    def pass_time(self) -> None:
        """Apply what has travelled long enough, and delete what has lived long enough."""
        now = self._clock()
        due = [manifest for at, manifest in self._under_way if at <= now]
        self._under_way = [create for create in self._under_way if create[0] > now]
        for manifest in due:
            self.api.create(manifest, timeout=1)
        for name in [name for name, (at, _) in self._gone_at.items() if at <= now]:
            _, is_held = self._gone_at.pop(name)
            self.api.delete(self._namespaces.get(name, "default"), name, held=not is_held)
            if not is_held:
                self._gone_at[name] = (now + _HELD, True)
            else:
                self.foreign.discard(name)

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        """Answer what a process asks about a template."""
        if self.template_is == "forbidden":
            return Unavailable("403 Forbidden: you may not read it", passes=False)
        return None if self.template_is else self.api.template(namespace, name)

    def heal(self) -> None:
        """Answer plainly from now on."""
        self._answers.clear()


class HarmedApi(WorkflowApi):
    """The Workflow API as one process sees it."""

    def __init__(self, cluster: Cluster, victim: Victim) -> None:
        self._cluster = cluster
        self._victim = victim

    def create(self, manifest: Plain, *, timeout: float) -> Response:
        try:
            self._victim.reach("before create")
        except KilledError:
            if crc32(manifest["metadata"]["name"].encode()) % 2:  # it was on the wire already
                self._cluster.send_off(manifest)
            raise
        if manifest["metadata"]["namespace"] in self._cluster.hanging:
            self._victim.wait(HANGS)
            return Unknown("timed out: a webhook holds it")
        response = self._cluster.create(manifest, timeout)
        self._victim.reach("after create")
        return response

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        return self._cluster.api.find(namespace, name)

    def template(self, namespace: str, name: str) -> WorkflowTemplate | Unavailable | None:
        return self._cluster.template(namespace, name)

    def phases(self, namespace: str, selector: Mapping[str, str]) -> Mapping[str, str] | Unavailable:
        return self._cluster.api.phases(namespace, selector)

    def watch_phases(self, namespace: str) -> PhaseWatch:
        return self._cluster.api.watch_phases(namespace)

    def terminate(self, namespace: str, name: str) -> Response:
        return self._cluster.api.terminate(namespace, name)

    def close(self) -> None:
        """Do nothing: the cluster stays."""
