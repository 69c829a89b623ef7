"""What a worker's answer means for its run."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from bridge.argo.create_attempt import WaitReason
from bridge.argo.doubt import Doubt
from bridge.core.decision import RunReason
from bridge.core.event import DAY, HOUR, MINUTE, SECOND, Micros
from bridge.stages.submitter.answers import Answers
from bridge.stages.submitter.attempts import Dead, Done, Lost, NotFoundYet, Read, RefusedForNow, Retry, TooLate, Worked
from bridge.stages.submitter.open_run import OpenRun, RunState
from bridge.stages.submitter.run_events import (
    Buried,
    Created,
    LeftInDoubt,
    NothingMade,
    RefusedTooLong,
    SeenAbsent,
    Skipped,
    TemplateAwaited,
    TemplateRefused,
    TriedAgain,
)
from bridge.stages.submitter.run_life import LIFE
from bridge.stages.submitter.templates import TemplateUnread
from unit.stages.submitter.ledger.test_ledger_restoring import NOW, run

ANSWERS = Answers(DAY, Random(1), lambda _: "")
IN_DOUBT = Doubt(NOW, NOW, HOUR)
REFUSED = RefusedForNow(WaitReason.PERMISSION, "no permission")
NO_ANSWER = Retry("no answer", applied=None)


def sent(**known: Any) -> OpenRun:
    return OpenRun(run(1)._replace(start_by=NOW), 0, NOW - DAY, state=RunState.SENT, intent=NOW, attempts=1, **known)


def asking(refused: Micros | None) -> OpenRun:
    return OpenRun(run(1), 0, NOW - DAY, state=RunState.ASKING, refused=refused)


@pytest.mark.parametrize(
    ("outcome", "doubt", "known", "event"),
    [
        (Done("created"), None, {}, Created),
        (Dead("invalid"), None, {}, Buried),
        (Lost("come and gone"), IN_DOUBT, {"doubt": IN_DOUBT}, Buried),
        (TooLate(), None, {}, Skipped),
        (NO_ANSWER, IN_DOUBT, {}, LeftInDoubt),
        (Retry("not sent", applied=False), None, {}, NothingMade),
        (NotFoundYet("never sent"), None, {"doubt": IN_DOUBT}, NothingMade),
        (REFUSED, None, {}, NothingMade),
        (REFUSED, IN_DOUBT, {}, LeftInDoubt),
        (REFUSED, None, {"refused": NOW - DAY}, RefusedTooLong),
        (REFUSED, IN_DOUBT, {"refused": NOW - DAY, "doubt": IN_DOUBT}, Buried),
        (NotFoundYet("nothing there"), Doubt(NOW + MINUTE, NOW, HOUR), {"doubt": IN_DOUBT}, SeenAbsent),
    ],
)
def test_each_answer_to_an_attempt_is_an_event_of_the_table(
    outcome: Worked, doubt: Doubt | None, known: dict[str, Any], event: type
) -> None:
    found = ANSWERS.after_attempt(sent(**known), outcome, doubt, NOW)
    assert type(found) is event
    assert event in LIFE[RunState.SENT]


@pytest.mark.parametrize(("kind", "doubt"), [("created", None), ("created", IN_DOUBT), ("already", IN_DOUBT)])
def test_a_workflow_is_this_run_s_if_this_attempt_or_one_in_doubt_made_it(kind: Any, doubt: Doubt | None) -> None:
    found = ANSWERS.after_attempt(sent(doubt=doubt), Done(kind), doubt, NOW)
    assert isinstance(found, Created)
    assert found.reason is RunReason.CREATED


def test_a_workflow_that_was_there_before_the_first_attempt_is_another_s() -> None:
    found = ANSWERS.after_attempt(sent(), Done("already"), None, NOW)
    assert isinstance(found, Created)
    assert found.reason is RunReason.ALREADY_RAN


@pytest.mark.parametrize("seed", range(50))
def test_a_run_in_doubt_is_looked_for_before_half_of_what_is_left_of_a_lifetime(seed: int) -> None:
    doubt = Doubt(NOW - 8 * SECOND, NOW, 10 * SECOND)
    found = Answers(DAY, Random(seed), lambda _: "").after_attempt(sent(doubt=doubt), REFUSED, doubt, NOW)
    assert isinstance(found, TriedAgain)
    assert NOW <= found.due <= NOW + SECOND


def test_a_run_that_was_surely_never_sent_is_tried_at_once() -> None:
    found = ANSWERS.after_attempt(sent(doubt=IN_DOUBT), NotFoundYet("never sent"), None, NOW)
    assert isinstance(found, TriedAgain)
    assert found.due == NOW


def test_a_sent_run_whose_worker_read_a_template_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="was sent, and its worker came back with Read"):
        ANSWERS.after_attempt(sent(), Read(), None, NOW)


PASSES, STAYS = TemplateUnread("no answer", passes=True), TemplateUnread("there is none", passes=False)


@pytest.mark.parametrize(
    ("missing", "refused", "event"),
    [
        (PASSES, None, TemplateAwaited),
        (PASSES, NOW - DAY, TemplateAwaited),
        (STAYS, None, TemplateRefused),
        (STAYS, NOW - HOUR, TemplateAwaited),
        (STAYS, NOW - DAY, Buried),
    ],
)
def test_a_template_that_cannot_be_read_is_waited_for_until_it_was_refused_for_too_long(
    missing: TemplateUnread, refused: Micros | None, event: type
) -> None:
    found = ANSWERS.after_reading(asking(refused), missing, NOW + SECOND, NOW)
    assert type(found) is event
    assert event in LIFE[RunState.ASKING]
