"""Replays as a person runs them, on real Kafka and a real API server: exactly the missing runs, once.

The bridge was down for a while, the cluster refused some runs for good, triggers were added afterwards, and one was
suspended. The commands that a person would use name what is missing, and start that alone.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import parameters
from servers.process import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(600)

ORDERS, DOWN, REFUSED, PAIRS, FLOWING = 200, 1_000, 5, 300, 2_000
SEED = 20_261_128

SHIP = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  suspend: {suspend}
  events: [{{name: {prefix}order}}]
  run: {{workflowTemplate: ship}}
"""

PAIR = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events:
    - {{name: {prefix}part, as: part, key: payload.pair}}
    - {{name: {prefix}bill, as: bill, key: payload.pair}}
  window: {{within: 2h}}
  collect: {collect}
  run: {{workflowTemplate: ship, parameters: {{order: part.payload.pair}}}}
"""


class Bed:
    """The installation, and what its commands say."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.names = f"shop-{installation.prefix}"  # the bridge reads no topic with its own prefix
        self.triggers: dict[str, str] = {}

    def ship(self, name: str, *, suspend: bool = False) -> None:
        """Write a trigger of one event, or change it."""
        self.triggers[name] = SHIP.format(name=name, prefix=self.names, suspend=str(suspend).lower())
        self._write()

    def pair(self, *names: str) -> None:
        """Write triggers of two events that belong together."""
        for name in names:
            collect = "first" if name.endswith("first") else "latest"
            self.triggers[name] = PAIR.format(name=name, prefix=self.names, collect=collect)
        self._write()

    def _write(self) -> None:
        self.installation.write_triggers("---\n".join(self.triggers.values()))
        self.installation.wait_triggers(*self.triggers)

    def publish(self, event: str, *payloads: dict[str, Any]) -> None:
        """Publish events, and wait until Kafka has them."""
        with self.installation.publisher() as publisher:
            for payload in payloads:
                publisher.publish(f"{self.names}{event}", payload)
            publisher.flush()

    def replay(self, trigger: str, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run a replay to its end; return what it prints."""
        return self.command("--trigger", trigger, "--from", "earliest", *words, code=code)

    def command(self, *words: str, code: int = 0) -> list[dict[str, Any]]:
        """Run ``flowbridge replay``; return what it prints."""
        done = self.installation.command("replay", *words, "-o", "json")
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def ran(self, trigger: str) -> Counter[str]:
        """Return the orders for which Workflows of a trigger exist."""
        return Counter(parameters(workflow)["order"] for workflow in self.installation.workflows(trigger))


def plan_of(lines: list[dict[str, Any]]) -> dict[str, Any]:
    (plan,) = [line for line in lines if line["kind"] == "plan"]
    return plan


def named(lines: list[dict[str, Any]]) -> int:
    return sum(line["kind"] == "run" for line in lines)


def state(lines: list[dict[str, Any]]) -> dict[str, Any]:
    return next(line for line in reversed(lines) if line["kind"] == "replay")


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
            wait_for(partial(_is_under_way, bed, name, process), 60, "the replay to run")
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


def _is_under_way(bed: Bed, name: str, process: subprocess.Popen[str]) -> bool:
    return process.poll() is not None or any(
        line["name"] == name and line["state"] == "running" for line in bed.command("list")
    )


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


PAGE = (Path(__file__).parents[2] / "docs" / "replay.md").read_text("utf-8")
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines() if line.strip()
]
LIFE = ("show", "pause", "resume", "cancel", "retry-failed")


@pytest.mark.usefixtures("bridge")
def test_each_command_of_the_page_runs_as_it_stands_there(bed: Bed, tmp_path: Path) -> None:
    bed.ship("report")
    bed.pair("pair")
    (tmp_path / "report.yaml").write_text(bed.triggers["report"])
    environment = [*in_environment(bed.installation.environment), "PATH=" + f"{FLOWBRIDGE.parent}:/usr/bin:/bin"]
    slow = ["--trigger", "report", "--from", "earliest", "--name", "monday", "--rate", "1", "--yes"]
    monday: subprocess.Popen[str] | None = None
    try:
        for command in COMMANDS:
            verb = command.split()[2]
            if verb in LIFE and monday is None:
                bed.ship("monday")  # a trigger whose backfill takes long
                slow[1] = "monday"
                monday = subprocess.Popen([*environment, str(FLOWBRIDGE), "replay", *slow], text=True)
                wait_for(partial(_is_under_way, bed, "monday", monday), 60, "the replay to run")
            if verb == "resume":
                resumed = subprocess.Popen([*environment, *command.split()], text=True)
                wait_for(partial(_is_under_way, bed, "monday", resumed), 60, "the replay to go on")
                resumed.send_signal(signal.SIGINT)
                assert resumed.wait(30) == 130
                continue
            done = subprocess.run(
                [*environment, "bash", "-euc", command],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
            assert done.returncode == 0 or "backfill" in command, f"{command}: {done.returncode}\n{done.stderr}"
            assert done.returncode <= 1, f"{command}: {done.returncode}\n{done.stderr}"
            assert done.stdout, command
    finally:
        if monday is not None:
            monday.kill()
            monday.wait()
    named = {line["name"]: line["state"] for line in bed.command("list")}
    assert (named["backfill"], named["monday"]) == ("failed", "cancelled"), "the refused events have no order"
    assert {command.split()[2] for command in COMMANDS} >= {"--trigger", "list", *LIFE}
