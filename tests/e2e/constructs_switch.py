"""The story of a dead man's switch: heartbeats for every window but one, most of them published while it is dead.

Windows follow each other without an end, so heartbeats are published ahead, for longer than the tests take.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from e2e.constructs import TEMPLATE
from e2e.expected import ExpectedRun

NAME = "switch"
EVENT = f"construct.{NAME}.b"

TRIGGER = f"""\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {NAME}}}
spec:
  events: [{{name: {EVENT}, as: b, absent: true}}]
  window: {{every: 10s}}
  grace: 8s
  run: {{workflowTemplate: {TEMPLATE}, parameters: {{a: '"nothing came"'}}}}
"""

_LENGTH = timedelta(seconds=10)
_AHEAD = 90  # windows: a quarter of an hour


class Heartbeats(NamedTuple):
    """When heartbeats happen.

    Attributes:
        first: Those that come before the crash.
        down: Those that come while the bridge is dead.
        silent: The window without one; it begins, and mostly ends, while the bridge is dead.

    """

    first: list[datetime]
    down: list[datetime]
    silent: tuple[datetime, datetime]


def heartbeats(began: datetime) -> Heartbeats:
    """Return the heartbeats of a story that begins at a moment."""
    start = began - (began - datetime.min.replace(tzinfo=UTC)) % _LENGTH
    starts = [start + number * _LENGTH for number in range(_AHEAD)]
    beats = [one + _LENGTH / 2 for one in starts]
    return Heartbeats(beats[:1], [beats[1], *beats[3:]], (starts[2], starts[3]))


def expected_run(silent: tuple[datetime, datetime]) -> ExpectedRun:
    """Return the one run of the story."""
    return ExpectedRun(NAME, TEMPLATE, (), silent[1], {"a": "nothing came"}, frame=silent)
