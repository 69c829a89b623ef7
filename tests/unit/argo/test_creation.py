"""What each answer of a create comes to: the table of bridge.argo.create_attempt, line by line, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.argo.api import Unavailable
from bridge.argo.create_attempt import Dead, Done, Outcome, RefusedForNow, Retry, Vanished, WaitReason, attempt
from bridge.argo.memory import LOST_ANSWER, LOST_REQUEST, REFUSED_CONNECTION, Fault, MemoryWorkflowApi, answered
from bridge.argo.workflow import RUN_KEY, Workflow
from bridge.cluster.responses import Answer, Response, Unknown, Unreachable

OURS, THEIRS = "k" * 52, "t" * 52
QUOTA = 'workflows.argoproj.io "a" is forbidden: exceeded quota: q, requested: count/workflows.argoproj.io=1'
QUOTA_UNCOUNTED = 'workflows.argoproj.io "a" is forbidden: status unknown for quota: q, resources: count/workflows'
WEBHOOK = 'admission webhook "limits.example.com" denied the request: no'
POLICY = "workflows.argoproj.io \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
RBAC = 'workflows.argoproj.io is forbidden: User "system:serviceaccount:x:y" cannot create resource "workflows"'


class BlindApi(MemoryWorkflowApi):
    """A cluster that answers creates and nothing else, as under a Role without `get`."""

    def find(self, namespace: str, name: str) -> Workflow | Unavailable | None:
        return Unavailable(f"403 Forbidden: cannot get {namespace}/{name}")


def manifest(run_key: str = OURS) -> dict[str, Any]:
    return {"metadata": {"namespace": "ml", "name": "refresh-1", "annotations": {RUN_KEY: run_key}}, "spec": {}}


def outcome_of(fault: Fault, api: MemoryWorkflowApi | None = None) -> Outcome:
    api = api or MemoryWorkflowApi(namespaces=["ml"])
    api.fail_next(fault)
    return attempt(api, manifest(), OURS)


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 507, 301, 200, 202])
def test_these_answers_leave_open_whether_it_was_applied(status: int) -> None:
    outcome = outcome_of(answered(status, "InternalError", "boom"))
    assert isinstance(outcome, Retry)
    assert outcome.applied is None
    assert "boom" in outcome.reason


@pytest.mark.parametrize("status", [401, 429])
def test_these_answers_say_that_nothing_was_applied(status: int) -> None:
    outcome = outcome_of(answered(status, "Reason", "text", retry_after=7.0))
    assert isinstance(outcome, Retry)
    assert (outcome.applied, outcome.after) == (False, 7.0)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_these_answers_are_for_good_and_keep_the_apis_text(status: int) -> None:
    assert outcome_of(answered(status, "Invalid", "spec.x: no")) == Dead(f"{status} Invalid: spec.x: no")


@pytest.mark.parametrize("status", [400, 404, 405, 413, 422])
def test_a_proxys_refusal_never_kills_a_run(status: int) -> None:
    outcome = outcome_of(Fault(Answer(status, "Bad Request", "<html>")))
    assert isinstance(outcome, RefusedForNow)
    assert outcome.needs_operator
    assert "<html>" in outcome.reason


def test_a_missing_namespace_waits_for_an_operator() -> None:
    outcome = outcome_of(answered(404, "NotFound", 'namespaces "ml" not found'))
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.MISSING, True)


@pytest.mark.parametrize("message", [QUOTA, QUOTA_UNCOUNTED])
def test_quota_waits_without_an_operator(message: str) -> None:
    outcome = outcome_of(answered(403, "Forbidden", message))
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.QUOTA, False)


@pytest.mark.parametrize("message", [RBAC, 'admission webhook "w" denied the request: no'])
def test_other_refusals_of_permission_wait_loudly(message: str) -> None:
    outcome = outcome_of(answered(403, "Forbidden", message))
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.PERMISSION, True)
    assert message in outcome.reason


@pytest.mark.parametrize("message", [QUOTA, RBAC])
def test_a_refusal_of_permission_still_finds_what_is_ours(message: str) -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    api.create(manifest(), timeout=1)
    assert outcome_of(answered(403, "Forbidden", message), api) == Done("already")


@pytest.mark.parametrize("message", [QUOTA, RBAC])
def test_a_refusal_is_a_refusal_even_where_nothing_can_be_looked_up(message: str) -> None:
    assert isinstance(outcome_of(answered(403, "Forbidden", message), BlindApi(namespaces=["ml"])), RefusedForNow)


def test_a_taken_name_that_cannot_be_looked_at_stays_unknown() -> None:
    outcome = outcome_of(answered(409, "AlreadyExists", "exists"), BlindApi(namespaces=["ml"]))
    assert isinstance(outcome, Retry)
    assert outcome.applied is None


def test_a_taken_name_that_vanished_may_have_been_ours() -> None:
    assert isinstance(outcome_of(answered(409, "AlreadyExists", "exists")), Vanished)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429])
@pytest.mark.parametrize("message", [WEBHOOK, POLICY])
def test_a_denial_by_an_admission_rule_waits_for_a_person_whatever_its_status(status: int, message: str) -> None:
    outcome = outcome_of(answered(status, "Invalid", message))
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.PERMISSION, True)
    assert "admission rule" in outcome.reason


def test_a_conflict_in_the_quotas_bookkeeping_is_tried_again() -> None:
    outcome = outcome_of(answered(409, "Conflict", "Operation cannot be fulfilled on resourcequotas"))
    assert isinstance(outcome, Retry)
    assert outcome.applied is False


def test_a_foreign_name_is_dead_and_one_that_goes_is_waited_for() -> None:
    api = MemoryWorkflowApi(namespaces=["ml"])
    api.create(manifest(THEIRS), timeout=1)
    assert isinstance(attempt(api, manifest(), OURS), Dead)
    api.delete("ml", "refresh-1", held=True)
    outcome = attempt(api, manifest(), OURS)
    assert isinstance(outcome, RefusedForNow)
    assert (outcome.waits_for, outcome.needs_operator) == (WaitReason.NAME_TERMINATING, False)
    api.delete("ml", "refresh-1")
    assert attempt(api, manifest(), OURS) == Done("created")


@pytest.mark.parametrize(("fault", "applied"), [(LOST_ANSWER, None), (LOST_REQUEST, None), (REFUSED_CONNECTION, False)])
def test_silence_is_told_apart_by_whether_it_was_sent(fault: Fault, applied: bool | None) -> None:  # noqa: FBT001  (a parameter of the test)
    outcome = outcome_of(fault)
    assert isinstance(outcome, Retry)
    assert outcome.applied is applied


@pytest.mark.parametrize("genuine", [True, False])
def test_no_answer_loses_a_run_unless_the_api_itself_refuses_it(genuine: bool) -> None:  # noqa: FBT001  (as above)
    for status in range(200, 600):
        fault = answered(status, "Reason", "text") if genuine else Fault(Answer(status, "Reason", "text"))
        outcome = outcome_of(fault)
        assert isinstance(outcome, Dead) == (genuine and status in (400, 413, 422)), status
        assert isinstance(outcome, Done) == (status == 201), status


@pytest.mark.parametrize("response", [Unreachable("no route"), Unknown("reset")])
def test_an_outcome_says_why(response: Response) -> None:
    outcome = outcome_of(Fault(response))
    assert isinstance(outcome, Retry)
    assert outcome.reason in ("no route", "reset")
