"""Replays as a person runs them, on real Kafka and a real API server: exactly the missing runs, once.

The bridge was down for a while, the cluster refused some runs for good, triggers were added afterwards, and one was
suspended. The commands that a person would use name what is missing, and start that alone.
"""

from __future__ import annotations

import re
import signal
import subprocess
import threading
import time
from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.replay_bed import Bed, is_under_way, named, plan_of, state
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(600)

ORDERS, DOWN, REFUSED, PAIRS, FLOWING = 200, 1_000, 5, 300, 2_000
SEED = 20_261_128


@pytest.fixture(scope="module")
def bed(installation: Installation) -> Bed:
    installation.create_template("ship", order=None)
    return Bed(installation)


@pytest.fixture(scope="module")
def bridge(bed: Bed) -> Iterator[BridgeProcess]:
    """A bridge that has run, was down for a thousand events, and has come back; the cluster has refused some runs."""
    process = bed.installation.process()
    with process:
        bed.ship("ship")
        bed.publish("order", *[{"order": f"o-{number}"} for number in range(ORDERS)])
        bed.publish("order", *[{"nothing": number} for number in range(REFUSED)])  # the template requires `order`
        bed.installation.wait_idle()
        process.terminate()
        bed.publish("order", *[{"order": f"down-{number}"} for number in range(DOWN)])
        process.start()
        process.wait_ready()
        bed.installation.wait_idle()
        yield process


def everything() -> Counter[str]:
    orders = [f"o-{number}" for number in range(ORDERS)]
    return Counter([*orders, *[f"down-{number}" for number in range(DOWN)]])


@pytest.mark.usefixtures("bridge")
def test_a_bridge_that_was_down_leaves_no_gap_and_what_was_refused_for_good_is_told(bed: Bed) -> None:
    lines = bed.replay("ship", "--dry-run")
    assert plan_of(lines)["outcomes"] == {"ran": ORDERS + DOWN, "dead": REFUSED}
    assert (plan_of(lines)["runs"], named(lines)) == (0, 0)
    assert bed.ran("ship") == everything()


@pytest.mark.usefixtures("bridge")
def test_a_trigger_that_was_added_afterwards_gets_exactly_the_runs_of_the_past(bed: Bed) -> None:
    bed.ship("later")
    lines = bed.replay("later", "--dry-run")
    assert plan_of(lines)["outcomes"] == {"missing": ORDERS + DOWN + REFUSED}
    assert named(lines) == ORDERS + DOWN + REFUSED
    assert bed.ran("later") == Counter()
    lines = bed.replay("later", "--yes", "--limit", "150", "--rate", "200", "--concurrency", "32", "--reason", "new")
    assert state(lines)["state"] == "completed"
    assert state(lines)["counts"] == {"submitted": 150}
    assert sum(bed.ran("later").values()) == 150
    lines = bed.replay("later", "--yes", "--rate", "1000", "--concurrency", "64", "--newest-first", code=1)
    assert (state(lines)["state"], state(lines)["counts"]["dead"]) == ("failed", REFUSED)
    assert bed.ran("later") == everything()
    lines = bed.replay("later", "--yes")
    assert plan_of(lines)["outcomes"] == {"ran": ORDERS + DOWN, "dead": REFUSED}
    assert len(lines) == 1, "a second replay makes none"
    workflow = bed.installation.workflows("later")[0]
    replay = workflow["metadata"]["labels"]["flowbridge.dev/replay"]
    assert workflow["metadata"]["annotations"]["flowbridge.dev/replay"] == replay
    assert re.fullmatch(r"later-\d{8}-\d{6}", replay)


@pytest.mark.usefixtures("bridge")
def test_events_of_the_time_in_which_a_trigger_was_suspended_are_backfilled(bed: Bed) -> None:
    bed.ship("ship", suspend=True)
    bed.publish("order", *[{"order": f"suspended-{number}"} for number in range(40)])
    bed.installation.wait_processed()
    bed.ship("ship")
    bed.publish("order", {"order": "after"})
    bed.installation.wait_idle()
    before = bed.ran("ship")
    lines = bed.replay("ship", "--only", "suspended", "--dry-run")
    assert plan_of(lines)["outcomes"] == {"missing": 40}
    lines = bed.replay("ship", "--only", "suspended", "--yes", "--rate", "100", "--concurrency", "16")
    assert state(lines)["counts"] == {"submitted": 40}
    assert bed.ran("ship") - before == Counter(f"suspended-{number}" for number in range(40))
    assert plan_of(bed.replay("ship", "--only", "suspended", "--dry-run"))["outcomes"] == {"ran": 40}


@pytest.mark.usefixtures("bridge")
def test_pairs_are_backfilled_while_the_bridge_goes_on_and_a_killed_replay_doubles_and_misses_nothing(
    bed: Bed, record_property: Any
) -> None:
    random = Random(SEED)
    bed.pair("live-latest")
    halves = [(event, {"pair": f"p-{number}"}) for number in range(PAIRS) for event in ("part", "bill")]
    random.shuffle(halves)  # partitions and topics are read in an order of their own besides
    for event in ("part", "bill"):
        bed.publish(event, *[payload for name, payload in halves if name == event])
    bed.installation.wait_idle()
    bed.pair("pairs-latest", "pairs-first")
    flowing = threading.Thread(target=_flow, args=(bed,))
    flowing.start()
    kills = 0
    try:
        for trigger in ("pairs-latest", "pairs-first"):
            lines = bed.replay(trigger, "--dry-run")
            assert plan_of(lines)["outcomes"].get("missing") == PAIRS
            kills += _killed_again_and_again(bed, trigger, random, 5)
    finally:
        flowing.join()
    bed.installation.wait_idle()
    expected = Counter([f"p-{number}" for number in range(PAIRS)])
    expected.update(f"flow-{number}" for number in range(FLOWING // 2))
    for trigger in ("live-latest", "pairs-latest", "pairs-first"):
        assert bed.ran(trigger) == expected, trigger
        assert plan_of(bed.replay(trigger, "--yes"))["runs"] == 0
    record_property("figures", f"{kills} SIGKILLs of the replay, {2 * PAIRS} runs, {FLOWING} events meanwhile")


def _flow(bed: Bed) -> None:
    """Publish further events slowly, while the replays run."""
    with bed.installation.publisher() as publisher:
        for number in range(FLOWING // 2):
            for event in ("part", "bill"):
                publisher.publish(f"{bed.names}{event}", {"pair": f"flow-{number}"})
            if number % 50 == 0:
                publisher.flush()
                time.sleep(0.2)  # a load at a pace, not a wait for anything
        publisher.flush()


def _killed_again_and_again(bed: Bed, trigger: str, random: Random, kills: int) -> int:
    """Run a replay, kill it at random moments, and resume it, until it is over; return how often it was killed."""
    name = f"killed-{trigger}"
    words = ["--trigger", trigger, "--from", "earliest", "--name", name, "--rate", "25", "--yes"]
    killed = 0
    while killed < kills:
        process = subprocess.Popen(
            [*in_environment(bed.installation.environment), str(FLOWBRIDGE), "replay", *words, "-o", "json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            wait_for(partial(is_under_way, bed, name, process), 60, "the replay to run")
            time.sleep(random.uniform(0.2, 1.5))  # the moment of the kill, by the seed
            if process.poll() is not None:
                break
            process.send_signal(signal.SIGKILL)
            killed += 1
        finally:
            process.kill()
            process.communicate()
        words = ["resume", name]
    lines = bed.command("resume", name) if state(bed.command("show", name))["state"] == "running" else []
    assert state(lines or bed.command("show", name))["state"] == "completed"
    return killed


@pytest.mark.usefixtures("bridge")
def test_a_replay_is_paused_resumed_cancelled_and_retried(bed: Bed) -> None:
    bed.ship("slow")
    name = "slow-one"
    words = ["--trigger", "slow", "--from", "earliest", "--name", name, "--rate", "2", "--yes"]
    process = subprocess.Popen(
        [*in_environment(bed.installation.environment), str(FLOWBRIDGE), "replay", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: sum(bed.ran("slow").values()) >= 2, 60, "the first runs")
        bed.command("pause", name)
        text, _ = process.communicate(timeout=30)
        assert f"replay {name} is paused" in text
        assert process.returncode == 1
    finally:
        process.kill()
    bed.installation.wait_idle()
    count = sum(bed.ran("slow").values())
    process = subprocess.Popen(
        [*in_environment(bed.installation.environment), str(FLOWBRIDGE), "replay", "resume", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(lambda: sum(bed.ran("slow").values()) > count, 60, "further runs")
        process.send_signal(signal.SIGINT)
        text, _ = process.communicate(timeout=30)
        assert f"go on with: flowbridge replay resume {name}" in text
        assert process.returncode == 130
    finally:
        process.kill()
    lines = bed.command("cancel", name, "--terminate")
    assert state(lines)["state"] == "cancelled"
    (stopped,) = [line["stopped"] for line in lines if line["kind"] == "terminated"]
    workflows = bed.installation.workflows("slow")
    assert stopped == len(workflows)
    assert {workflow["spec"]["shutdown"] for workflow in workflows} == {"Terminate"}
    bed.command("resume", name, code=2)
    retried = bed.replay("ship", "--mode", "missing+failed", "--yes", code=1)
    assert state(retried)["counts"] == {"dead": REFUSED}, "the events still have no order"
    again = bed.command("retry-failed", state(retried)["name"], "--yes", code=1)
    assert state(again)["counts"] == {"dead": REFUSED}


@pytest.mark.usefixtures("bridge")
def test_what_cannot_be_done_is_told_without_a_traceback(bed: Bed) -> None:
    for words, text in {
        ("--trigger", "ship"): "--trigger and --from are needed",
        ("--trigger", "nobody", "--from", "1h"): "there is no trigger",
        ("--trigger", "ship", "--from", "yesterday"): "'yesterday' names no time",
        ("--trigger", "ship", "--from", "nothing/0=1"): "does not read nothing/0",
        ("--trigger", "ship", "--from", "30d"): "the ledger remembers runs only from",
        ("--trigger", "ship", "--from", "1h", "--mode", "all"): "--mode all without --replay-id",
        ("--trigger", "ship", "--from", "1h", "--where", "payload.("): "--where:",
        ("show", "nobody"): "there is no replay nobody",
    }.items():
        done = bed.installation.command("replay", *words)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        assert text in done.stderr
