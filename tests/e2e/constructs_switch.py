"""The story of a dead man's switch: heartbeats for every window but one, most of them published while it is dead.

Windows follow each other without an end, so heartbeats are published ahead, for longer than the tests take.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from e2e.constructs import TEMPLATE
from e2e.expected import ExpectedRun

if TYPE_CHECKING:
    from e2e.constructs import Plan

NAME = "switch"
EVENT = f"construct.{NAME}.b"

_LENGTH = timedelta(seconds=10)
_AHEAD = 90  # windows: a quarter of an hour


def trigger(grace: str) -> str:
    """Return the trigger."""
    return f"""\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {NAME}}}
spec:
  events: [{{name: {EVENT}, as: b, absent: true}}]
  window: {{every: {_LENGTH.seconds}s}}
  grace: {grace}
  run: {{workflowTemplate: {TEMPLATE}, parameters: {{a: '"nothing came"'}}}}
"""


class Heartbeats(NamedTuple):
    """When heartbeats happen.

    Attributes:
        before: Those in the windows that are over when the stories begin.
        down: The others; they come while the bridge is dead.
        silent: The window without one. The last but one before it, in which the stories begin, closes while the bridge
            is dead and its heartbeat waits in Kafka.

    """

    before: list[datetime]
    down: list[datetime]
    silent: tuple[datetime, datetime]


def heartbeats(watched: datetime, plan: Plan) -> Heartbeats:
    """Return the heartbeats of a story that is watched from the beginning of a window on."""
    over = max(0, (plan.begins - watched) // _LENGTH)
    starts = [watched + number * _LENGTH for number in range(over + _AHEAD)]
    silent = over + 2
    beats = [start + _LENGTH / 2 for start in starts]
    return Heartbeats(
        beats[:over], [*beats[over:silent], *beats[silent + 1 :]], (starts[silent], starts[silent] + _LENGTH)
    )


def expected_run(silent: tuple[datetime, datetime]) -> ExpectedRun:
    """Return the one run of the story."""
    return ExpectedRun(NAME, TEMPLATE, (), silent[1], {"a": "nothing came"}, frame=silent)
