"""One attempt to create a Workflow, and its outcome. A repeated attempt never makes a second Workflow.

An attempt is one create and, if its answer leaves a doubt, one look at the name. *Ours* is a Workflow that carries the
run key (:data:`bridge.argo.workflow.RUN_KEY`), whether or not it is being deleted already.

======================================  =======================  ==============================================
create answers                          the look finds           outcome
======================================  =======================  ==============================================
201                                     (no look)                Done: created
409                                     ours                     Done: already
409                                     foreign, terminating     RefusedForNow: name-terminating
409                                     foreign                  Dead: the name is taken
409 AlreadyExists                       nothing any more         Vanished: it may have been ours
409 Conflict (quota bookkeeping)        nothing                  Retry, not applied
409                                     no usable answer         Retry, applied unknown
403                                     ours                     Done: already (quota speaks before existence)
403 with "exceeded quota"               anything else            RefusedForNow: quota
403, anything else                      anything else            RefusedForNow: permission (RBAC, an admission webhook)
any 4xx in the words of an admission    (as of its status)       RefusedForNow: permission (a person can mend a webhook
webhook or policy that denied it                                 or a ValidatingAdmissionPolicy, whatever its status)
400, 413, 422 of a Kubernetes API       (no look)                Dead: with the API's text
401                                     (no look)                Retry, not applied (tokens are renewed)
404                                     (no look)                RefusedForNow: missing (namespace or Workflow CRD)
429                                     (no look)                Retry, not applied, after its Retry-After
408, 500, 502, 503, 504                 (no look)                Retry, applied unknown
other 4xx, or 4xx that a proxy made     (no look)                RefusedForNow: unexpected
anything else (other 2xx, 3xx, 5xx)     (no look)                Retry, applied unknown
nothing: surely not sent                (no look)                Retry, not applied
nothing: timeout, connection lost       (no look)                Retry, applied unknown
======================================  =======================  ==============================================

*Applied unknown* leaves the run in doubt. All other outcomes are about this attempt, and say nothing about an earlier
one. :mod:`bridge.argo.doubt` decides what follows for the run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, NamedTuple

from bridge.argo.api import Unavailable, WorkflowApi
from bridge.cluster.responses import MESSAGE_LIMIT, Answer, Unknown, Unreachable

if TYPE_CHECKING:
    from bridge.cluster.responses import Plain

CREATE_TIMEOUT = 10.0
"""Seconds for one create. A healthy API server answers in milliseconds; its own limit for a request is 60 s."""

_REFUSALS = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNPROCESSABLE_ENTITY)
_DENIALS = (
    re.compile(r"admission webhook .* denied the request"),
    re.compile(r"ValidatingAdmissionPolicy .* denied request"),
)
_QUOTA_TEXTS = ("exceeded quota", "status unknown for quota")  # the second: the usage of the quota is not counted yet


class WaitReason(StrEnum):
    """The thing that a parked run waits for."""

    QUOTA = "quota"
    PERMISSION = "permission"
    MISSING = "missing"
    NAME_TERMINATING = "name-terminating"
    UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class Done:
    """The run has its Workflow: ``created`` by this attempt, or ``already`` there."""

    kind: Literal["created", "already"]


@dataclass(frozen=True, slots=True)
class Retry:
    """The same attempt may succeed soon.

    Attributes:
        reason: Why, for people.
        applied: False if this attempt surely made nothing, None if it may have made the Workflow.
        after: Seconds that the API asks to wait.

    """

    reason: str
    applied: Literal[False] | None
    after: float | None = None


@dataclass(frozen=True, slots=True)
class RefusedForNow:
    """A definite refusal that time or a person will lift. The run is tried again slowly and is never lost.

    Attributes:
        waits_for: What must change.
        reason: The API's text, and what an operator can do.
        after: Seconds that the API asks to wait.

    """

    waits_for: WaitReason
    reason: str
    after: float | None = None

    @property
    def needs_operator(self) -> bool:
        """Return True if a person must mend something, so that the refusal is reported prominently."""
        return self.waits_for in (WaitReason.PERMISSION, WaitReason.MISSING, WaitReason.UNEXPECTED)


@dataclass(frozen=True, slots=True)
class Dead:
    """The API will never accept the Workflow. The run becomes a dead letter with this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """The create met a Workflow of that name, and the look right after it found none. It may have been ours."""

    reason: str


Outcome = Done | Retry | RefusedForNow | Dead | Vanished


class NameOwner(StrEnum):
    """The owner of the Workflow under a run's name."""

    OURS = "ours"
    FOREIGN = "foreign"
    ABSENT = "absent"
    UNAVAILABLE = "unavailable"


class Confirmation(NamedTuple):
    """The result of a look at a run's name; ``reason`` says why it is unavailable."""

    standing: NameOwner
    terminating: bool = False
    reason: str = ""


def confirm(api: WorkflowApi, namespace: str, name: str, run_key: str) -> Confirmation:
    """Look up the owner of the Workflow ``namespace/name``, after a create whose outcome is not known."""
    workflow = api.find(namespace, name)
    if workflow is None:
        return Confirmation(NameOwner.ABSENT)
    if isinstance(workflow, Unavailable):
        return Confirmation(NameOwner.UNAVAILABLE, reason=workflow.reason)
    standing = NameOwner.OURS if workflow.run_key == run_key else NameOwner.FOREIGN
    return Confirmation(standing, workflow.terminating)


def attempt(api: WorkflowApi, manifest: Plain, run_key: str, *, timeout: float = CREATE_TIMEOUT) -> Outcome:
    """Try once to create the Workflow of a run, and return the outcome (the table above).

    Args:
        api: The cluster.
        manifest: The whole Workflow, with the run key in its annotations.
        run_key: The run.
        timeout: Seconds for the create.

    """
    response = api.create(manifest, timeout=timeout)
    if isinstance(response, Unreachable):
        return Retry(response.reason, applied=False)
    if isinstance(response, Unknown):
        return Retry(response.reason, applied=None)
    if response.status == HTTPStatus.CREATED:
        return Done("created")
    if response.status in (HTTPStatus.CONFLICT, HTTPStatus.FORBIDDEN):
        metadata = manifest["metadata"]
        look = confirm(api, metadata["namespace"], metadata["name"], run_key)
        if look.standing is NameOwner.OURS:
            return Done("already")
        text = response.text()
        if response.status == HTTPStatus.CONFLICT:
            if look.standing is NameOwner.FOREIGN and look.terminating:
                return RefusedForNow(
                    WaitReason.NAME_TERMINATING, f"another Workflow of that name is being deleted ({text})"
                )
            if look.standing is NameOwner.FOREIGN:
                return Dead(f"the name belongs to a Workflow that is not this run's ({text})")
            if look.standing is NameOwner.UNAVAILABLE:
                return Retry(f"{text}; whose it is could not be seen: {look.reason}", applied=None)
            if response.reason == "AlreadyExists":
                return Vanished(f"a Workflow of that name vanished right behind the create ({text})")
            return Retry(text, applied=False, after=response.retry_after)
        if any(words in response.message for words in _QUOTA_TEXTS):
            return RefusedForNow(WaitReason.QUOTA, text, response.retry_after)
        reason = f"the cluster does not let the bridge create it: {text}"
        return _denial(response) or RefusedForNow(WaitReason.PERMISSION, reason)
    if (denial := _denial(response)) is not None:
        return denial
    text, after = response.text(), response.retry_after
    if response.status == HTTPStatus.UNAUTHORIZED:
        return Retry(f"the cluster does not know the bridge's credentials: {text}", applied=False, after=after)
    if response.status == HTTPStatus.NOT_FOUND:
        return RefusedForNow(WaitReason.MISSING, f"the namespace or Argo's Workflow CRD is missing: {text}", after)
    if response.status == HTTPStatus.TOO_MANY_REQUESTS:
        return Retry(text, applied=False, after=after)
    if response.status in _REFUSALS and response.is_genuine:
        return Dead(text)
    if HTTPStatus(400) <= response.status < HTTPStatus(500) and response.status != HTTPStatus.REQUEST_TIMEOUT:
        return RefusedForNow(WaitReason.UNEXPECTED, f"no answer that a Workflow API gives: {text}", after)
    return Retry(text, applied=None, after=after)


def _denial(answer: Answer) -> RefusedForNow | None:
    """Return the outcome if an admission rule denies the Workflow; None for another answer."""
    beginning = answer.message[:MESSAGE_LIMIT]
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or not any(words.search(beginning) for words in _DENIALS):
        return None
    return RefusedForNow(WaitReason.PERMISSION, f"an admission rule of the cluster denies it: {answer.text()}")
