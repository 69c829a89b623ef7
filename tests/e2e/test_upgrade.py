"""Two versions side by side: 0.1.0, built from the history, and this one, on real Kafka and a real API server.

Processes are replaced one after the other while events flow. Windows, runs that wait for their rate, and the offsets of
one version are taken over by the other. What is asked for exists once at the end.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest

from e2e.bridge_process import in_environment
from e2e.fault_load import Load, Parameters, Published
from e2e.fault_trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from servers.choice import AnyKafka, AnyKubernetes

ROOT = Path(__file__).parents[2]
RELEASED = "a5d033a84cd67690aff3f43af90f9e1149208edf"
"""The revision that is version 0.1.0."""

PAIRS, BATCHES, NOTICES, ALERTS = 150, 40, 100, 80
SIZE = 3  # of a batch
EVENTS = 2 * PAIRS + SIZE * BATCHES + NOTICES + ALERTS
STEPS = (("first", "SIGTERM"), ("second", "SIGKILL"))  # which process is replaced, and how it ends before

TRIGGERS = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: ship}}
spec:
  events:
    - {{name: {prefix}.order, as: order, key: payload.order}}
    - {{name: {prefix}.payment, as: payment, key: payload.order}}
  window: {{within: 2h}}
  run:
    workflowTemplate: ship
    parameters: {{order: order.payload.order, price: order.payload.price, paid: payment.payload.paid}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: load}}
spec:
  events:
    - {{name: {prefix}.row, as: row, key: payload.batch}}
  window: {{batch: {{size: 3, wait: 2h}}}}
  run:
    workflowTemplate: load
    parameters: {{batch: "row[0].payload.batch", rows: "string(size(row))"}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: notify}}
spec:
  events:
    - {{name: {prefix}.notice, as: notice}}
  run:
    workflowTemplate: notify
    parameters: {{notice: notice.payload.notice}}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: alert}}
spec:
  events:
    - {{name: {prefix}.alert, as: alert}}
  run:
    workflowTemplate: alert
    parameters: {{alert: alert.payload.alert}}
    limits: {{rate: 2/s}}
"""

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The environment that makes the installed command run the code of 0.1.0."""
    found = subprocess.run(
        ["git", "archive", RELEASED, "bridge", "sdk", "schemas"], cwd=ROOT, capture_output=True, check=False
    )
    if found.returncode:
        pytest.fail(
            f"version 0.1.0 is built from revision {RELEASED}, which is not in the history of {ROOT}: "
            f"{found.stderr.decode().strip()}. Clone the repository whole (git fetch --unshallow)"
        )
    folder = tmp_path_factory.mktemp("released")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=found.stdout, check=True)
    version = {"PYTHONPATH": f"{folder}:{folder / 'sdk'}"}
    places = "import bridge, flowbridge_sdk; print(bridge.__file__, flowbridge_sdk.__file__)"
    ran = subprocess.run(
        [*in_environment(version), sys.executable, "-P", "-c", places], capture_output=True, text=True, check=True
    )
    assert all(place.startswith(str(folder)) for place in ran.stdout.split()), "this version would run in its place"
    return version


def make_load(prefix: str, random: Random) -> Load:
    """Return events of all triggers in random order, and the Workflows that they ask for."""
    events, expected = [], Counter[Parameters]()
    for number in range(PAIRS):
        order = f"o-{number}"
        events.append(Published(f"{prefix}.order", order, {"order": order, "price": number}))
        events.append(Published(f"{prefix}.payment", order, {"order": order, "paid": number}))
        expected[("order", order), ("paid", str(number)), ("price", str(number))] = 1
    for number in range(BATCHES):
        batch = f"b-{number}"
        events += [Published(f"{prefix}.row", f"{batch}-{row}", {"batch": batch}) for row in range(SIZE)]
        expected[("batch", batch), ("rows", str(SIZE))] = 1
    for name, count in (("notice", NOTICES), ("alert", ALERTS)):
        for number in range(count):
            events.append(Published(f"{prefix}.{name}", f"{name}-{number}", {name: f"{name}-{number}"}))
            expected[(name, f"{name}-{number}"),] = 1
    random.shuffle(events)
    return Load(events, expected)


def crossing(pieces: Sequence[Sequence[Published]]) -> int:
    """Return how many windows open in one piece of the load and are filled in another."""
    places = [
        (str(event.payload.get("order") or event.payload.get("batch")), number)
        for number, piece in enumerate(pieces)
        for event in piece
        if "order" in event.payload or "batch" in event.payload
    ]
    return sum(1 for count in Counter(window for window, _ in set(places)).values() if count > 1)


@pytest.mark.parametrize("way", ["upgraded", "rolled back"])
def test_every_run_exists_once_while_one_version_replaces_the_other(
    way: str,
    released: Mapping[str, str],
    kafka: AnyKafka,
    kubernetes: AnyKubernetes,
    namespace: str,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    seed = Random().randrange(1_000_000)
    load = make_load(namespace, Random(seed))
    before, after = (released, {}) if way == "upgraded" else ({}, released)
    cut = list(load.pieces(2 * len(STEPS) + 1))
    pieces = iter(cut)
    text = TRIGGERS.format(prefix=namespace)
    with Trial(kafka.bootstrap, kubernetes, namespace, tmp_path, text=text, version=before) as trial:
        for number, (name, ended_by) in enumerate(STEPS):
            trial.publish(next(pieces), 3.0)
            ending = trial.bridges[number]
            piece = next(pieces)
            trial.publish(piece[: len(piece) // 2], 0.1)  # so that it ends in the middle of work
            if ended_by == "SIGTERM":
                assert ending.terminate().code == 0
            else:
                ending.kill()
            trial.publish(piece[len(piece) // 2 :], 1.0)
            trial.replace(number, f"{name}-after", after).wait_ready()
        trial.publish(next(pieces), 3.0)
        verdict = trial.settle(load)
    figures = (
        f"{way}: {EVENTS} events, {crossing(cut)} windows open at a change, "
        f"{verdict.expected} runs expected, {verdict.found} found, "
        f"{len(verdict.missing)} lost, {len(verdict.besides) + len(verdict.repeated)} doubled, "
        f"{trial.seconds:.0f} s, seed {seed}"
    )
    record_property("figures", figures)
    assert crossing(cut) > PAIRS // 2
    verdict.check()
