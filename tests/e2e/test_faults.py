"""Nothing is lost and nothing is made twice, whatever breaks: on a real Kafka and a real API server.

The load of each test is random, from a seed that its figures print and FLOWBRIDGE_SEED sets.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

import pytest
import yaml

from e2e.fault_load import make_load
from e2e.fault_trial import Trial
from servers.kafka import KafkaServer
from servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.fault_load import Load
    from e2e.fault_trial import Verdict
    from servers.choice import AnyKafka, AnyKubernetes

    Report = Callable[[str, Load, Trial, Verdict], None]

KILLS = 22
PAUSES = 3
PAUSE_SECONDS = 13  # a member's session is 6
CUT_SECONDS = 20

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def seed() -> int:
    """What makes the random choices of a test."""
    return int(os.environ.get("FLOWBRIDGE_SEED") or Random().randrange(1_000_000))


@pytest.fixture
def report(record_property: Callable[[str, object], None], seed: int) -> Report:
    """Print a test's figures and fail unless its verdict is good."""

    def say(faults: str, load: Load, trial: Trial, verdict: Verdict) -> None:
        figures = (
            f"{faults}, {len(load.events)} events, {verdict.expected} runs expected, {verdict.found} found, "
            f"{len(verdict.missing)} lost, {len(verdict.besides) + len(verdict.repeated)} doubled, "
            f"{trial.seconds:.0f} s, seed {seed}"
        )
        print(figures)
        record_property("figures", figures)
        verdict.check()

    return say


def test_every_run_exists_once_through_twenty_two_kills(
    kafka: AnyKafka, kubernetes: AnyKubernetes, namespace: str, tmp_path: Path, seed: int, report: Report
) -> None:
    random = Random(seed)
    load = make_load(namespace, random, pairs=1_000, singles=100, repeats=100)
    with Trial(kafka.bootstrap, kubernetes, namespace, tmp_path) as trial:
        for piece in load.pieces(KILLS):
            trial.publish(piece, random.uniform(0.3, 12.0))
            victim = random.choice(trial.bridges)
            victim.kill()
            victim.start()
        before = trial.created()
        verdict = trial.settle(load)
    report(f"{KILLS} SIGKILLs ({before} runs created among them)", load, trial, verdict)


def test_every_run_exists_once_though_processes_sleep_for_longer_than_their_session(
    kafka: AnyKafka, kubernetes: AnyKubernetes, namespace: str, tmp_path: Path, seed: int, report: Report
) -> None:
    random = Random(seed)
    load = make_load(namespace, random, pairs=1_000, singles=100, repeats=100)
    pieces = load.pieces(4 * PAUSES)
    with Trial(kafka.bootstrap, kubernetes, namespace, tmp_path) as trial:
        for _ in range(PAUSES):
            victim = random.choice(trial.bridges)
            trial.publish(next(pieces), random.uniform(1.0, 3.0))
            trial.publish(next(pieces), random.uniform(0.05, 0.5))  # a burst, so that it sleeps in the middle of work
            victim.pause()
            trial.publish(next(pieces), PAUSE_SECONDS)
            victim.resume()
            trial.publish(next(pieces), random.uniform(0.05, 5.0))
        verdict = trial.settle(load)
    report(f"{PAUSES} SIGSTOPs for {PAUSE_SECONDS} s", load, trial, verdict)


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_every_run_exists_once_though_the_api_server_was_away(
    fault: str,
    kafka: AnyKafka,
    kubernetes: AnyKubernetes,
    namespace: str,
    tmp_path: Path,
    seed: int,
    report: Report,
) -> None:
    random = Random(seed)
    load = make_load(namespace, random, pairs=0, singles=300, repeats=15)
    before, burst, meanwhile, after = load.pieces(4)
    with Proxy(kubernetes.url.removeprefix("https://")) as proxy:
        way = _kubeconfig_through(proxy, kubernetes, tmp_path)
        with Trial(kafka.bootstrap, kubernetes, namespace, tmp_path, way) as trial:
            trial.publish(before, 1.0)
            trial.publish(burst, random.uniform(0.05, 0.3))  # so that creates are on their way
            getattr(proxy, fault)()
            trial.publish(meanwhile, CUT_SECONDS)
            proxy.restore()
            trial.publish(after, 1.0)
            verdict = trial.settle(load)
    report(f"API server gone for {CUT_SECONDS} s ({fault})", load, trial, verdict)


@pytest.mark.servers
def test_every_run_exists_once_though_kafka_was_restarted_and_killed(
    kubernetes: AnyKubernetes, namespace: str, tmp_path: Path, seed: int, report: Report
) -> None:
    random = Random(seed)
    load = make_load(namespace, random, pairs=500, singles=100, repeats=50)
    pieces = load.pieces(5)
    with KafkaServer() as kafka, Trial(kafka.bootstrap, kubernetes, namespace, tmp_path) as trial:
        trial.publish(next(pieces), 3.0)
        trial.publish(next(pieces), random.uniform(0.05, 0.5))
        kafka.restart()
        trial.publish(next(pieces), 5.0)
        trial.publish(next(pieces), random.uniform(0.05, 0.5))
        kafka.kill()
        kafka.start()
        trial.publish(next(pieces), 3.0)
        verdict = trial.settle(load)
    report("Kafka restarted once, killed once", load, trial, verdict)


def _kubeconfig_through(proxy: Proxy, kubernetes: AnyKubernetes, folder: Path) -> Path:
    """Return a kubeconfig of the administrator that leads through a proxy."""
    config = yaml.safe_load(kubernetes.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = f"https://{proxy.address}"
    path = folder / "proxied.kubeconfig"
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path
