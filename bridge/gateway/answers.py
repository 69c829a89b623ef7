"""Answers to requests: each refusal with its status, its name in the metrics, and its text.

The statuses on the webhook path are Argo Events' (200, 400, 401, 404, 500), and 403 for a token that may not publish
an event, which Argo Events does not know. Clients of CloudEvents also get 405, 413, 415 and 503. No answer is a 429:
Metaflow's publisher takes any error for the end, and its event would be lost.
"""

from __future__ import annotations

from typing import NamedTuple


class Answer(NamedTuple):
    """The answer to a request.

    Attributes:
        status: HTTP's status for clients of CloudEvents.
        outcome: Its name in the metrics.
        text: The body, in plain text for a person.

    """

    status: int
    outcome: str
    text: str


PUBLISHED = Answer(200, "published", "success")
WRONG_METHOD = Answer(405, "wrong-method", "http method does not match: expected POST")
NO_TOKEN = Answer(401, "unauthorized", "Invalid Authorization Header")
BAD_TOKEN = Answer(401, "unauthorized", "Invalid Auth token")
NOT_RECORDED = Answer(500, "not-recorded", "failed to record event")
DISCONNECTED = Answer(400, "disconnected", "the client went before its request was whole")
BUG = Answer(500, "bug", "failed to record event")

_WEBHOOK_STATUS = {405: 400, 413: 400, 415: 400}
_CLOUDEVENTS_STATUS = {500: 503}  # the client may try again


def malformed(text: str) -> Answer:
    """Return the refusal of a request that is no event; the text says what was expected and found."""
    return Answer(400, "malformed", text)


def too_large(limit: int) -> Answer:
    """Return the refusal of a body of more than ``limit`` bytes."""
    return Answer(413, "too-large", f"the body has more than {limit} bytes; store the data elsewhere, publish where")


def forbidden(name: str) -> Answer:
    """Return the refusal of an event that its token may not publish."""
    return Answer(403, "forbidden", f"this token may not publish {name!r}")


def no_topic(text: str) -> Answer:
    """Return the refusal of an event that no topic carries."""
    return Answer(404, "no-topic", text)


def webhook_status(answer: Answer) -> int:
    """Return the status that Argo Events' webhook would answer."""
    return _WEBHOOK_STATUS.get(answer.status, answer.status)


def cloudevents_status(answer: Answer) -> int:
    """Return the status for a client of CloudEvents."""
    return _CLOUDEVENTS_STATUS.get(answer.status, answer.status)
