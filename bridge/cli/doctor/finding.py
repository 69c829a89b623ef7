"""What the doctor finds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]
"""An error stops work or loses something, now or in an outage. A warning costs accuracy, or safety margin."""


@dataclass(frozen=True)
class TopicFix:
    """A setting of a topic that can be set safely: nothing that is in the topic is lost by it, and no reader minds."""

    topic: str
    setting: str
    value: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: The name of the check that found it.
        severity: How bad it is.
        subject: What it is about: a topic, a broker, a namespace, a trigger, this machine.
        found: What was found.
        remedy: What to do.
        fix: What ``--fix`` does about it; None where a person has to.

    """

    check: str
    severity: Severity
    subject: str
    found: str
    remedy: str
    fix: TopicFix | None = None
