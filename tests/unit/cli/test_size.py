"""The promises of ``flowbridge size``: its numbers follow from the rates and from the costs that the docs state."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import cli
from bridge.cli.size import costs
from bridge.cli.size.sizing import Load, Size, TriggerLoad, size_of
from bridge.errors import ExitCode
from bridge.kafka.records import LEDGER_ENTRY, WAITING, kind_of
from unit.stages.world import World, two_slots

PERFORMANCE = Path(__file__).parents[3] / "docs" / "performance.md"
PAIR = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: pair}
spec:
  events: [{name: order, as: a}, {name: payment, as: b}]
  key: payload.id
  window: {within: 1h}
  grace: 10m
  dedupe: 2h
  run: {workflowTemplate: ship}
---
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: each}
spec:
  events: [{name: order}]
  run: {workflowTemplate: ship}
"""
KEYLESS = PAIR.partition("---")[0].replace("  key: payload.id\n", "")


def sized(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["size", *arguments], prog_name="flowbridge")


def told(*arguments: str) -> dict[str, Any]:
    """Return the size that the command tells as JSON."""
    result = sized(*arguments, "-o", "json")
    assert result.exit_code == ExitCode.OK, result.output
    (size,) = [line for line in map(json.loads, result.stdout.splitlines()) if line["kind"] == "size"]
    return size


@pytest.fixture
def triggers(tmp_path: Path) -> Path:
    (tmp_path / "triggers.yaml").write_text(PAIR)
    return tmp_path


# -- costs -------------------------------------------------------------------------------------------------------------


def test_the_costs_are_those_that_the_page_of_performance_states() -> None:
    page = PERFORMANCE.read_text(encoding="utf-8").partition("## Costs for sizing\n")[2].partition("\n## ")[0]
    assert [line for line in page.splitlines() if line.startswith("| ")][1:] == [
        "| --- | ---: | --- |",
        *(cost.row for cost in costs.COSTS),
    ]


def test_the_bytes_of_records_are_those_of_the_stages_within_a_tenth() -> None:
    world = World(two_slots())
    world.submitter = replace(world.submitter, prompt_runs=0)  # an intent for each run, as under load
    world.start()
    world.run(3)
    value = len(world.encoder.encode("order.created", {"order": "order-000000", "amount": 12.5, "text": "x" * 100}))
    for number in range(20):
        payload = {"order": f"order-{number:06}", "amount": 12.5, "text": "x" * 100}
        for event, some in (("order.created", 8), ("payment.done", 9)):
            world.publish(event, payload, id=f"0190c2a1-7d3e-7f00-{some}000-{number:012}")
            world.run(0.5)
    sizes: dict[str, list[int]] = {}
    for topic in (world.topics.arrivals, world.topics.windows, world.topics.runs, world.topics.ledger):
        for record in world.records(topic):
            if record.value is None:
                continue
            kind = kind_of(record.value)
            if kind == "ledger_entry":
                kind = str(LEDGER_ENTRY.decode(record.value)["state"])
            headers = sum(len(name) + len(text) for name, text in record.headers or ())
            body = value if topic == world.topics.arrivals or kind == kind_of(WAITING.prefix) else 0
            sizes.setdefault(kind, []).append(len(record.key or b"") + len(record.value) + headers - body)
    measured = {kind: sum(some) / len(some) for kind, some in sizes.items()}
    assert measured == {
        "arrival": pytest.approx(costs.ARRIVAL_RECORD.value, rel=0.1),
        "waiting": pytest.approx(costs.WAITING_RECORD.value, rel=0.1),
        "spent": pytest.approx(costs.SPENT_RECORD.value, rel=0.1),
        "run": pytest.approx(costs.RUN_RECORD.value, rel=0.1),
        "intent": pytest.approx(costs.INTENT_RECORD.value, rel=0.1),
        "done": pytest.approx(costs.DONE_RECORD.value, rel=0.1),
    }


# -- numbers -----------------------------------------------------------------------------------------------------------


def test_a_worked_example_of_windows_that_fan_out() -> None:
    """100 events a second of 800 bytes, to 4 of 10 triggers of two slots within an hour, and 6 minutes of grace."""
    size = told(
        "--rate", "100", "--triggers", "10", "--slots", "2", "--window", "1h", "--fan-out", "4", "--event-bytes", "800"
    )
    assert (size["fan_out"], size["arrivals"], size["runs"]) == (4, 400, 200)
    assert size["waiting"] == pytest.approx(400 * 3_960)
    assert size["remembered"] == pytest.approx(400 * 3_600)
    assert size["window_memory"] == pytest.approx(1_584_000 * 2_000 + 1_440_000 * 800)
    assert size["window_disk"] == pytest.approx(1_584_000 * 1_100 + 1_440_000 * 200)
    assert size["router"] == pytest.approx((100 * 26 + 300 * 8.8 + 400 * 9) / 1e6)
    assert size["matcher"] == pytest.approx(400 * 105 / 1e6)
    assert size["submitter"] == pytest.approx(200 / 144)
    assert (size["processes"], size["partitions"]) == (3, 24)  # 1.44 of a core, each process busy for 60 %
    assert size["followed"] == 200 * 600
    assert size["ledger_entries"] == 200 * 7 * 86_400
    assert size["ledger_memory"] == 24_000_000 * 107  # a million of each partition; the others are on disk
    # 4.32 GB and a third more, as one trigger can have three quarters of a partition: 5.36 GiB, of which 1 is memory.
    assert size["settings"] == {
        "FLOWBRIDGE_REPLICATION": "3",
        "FLOWBRIDGE_WINDOW_DISK_BYTES": str(5 * 1024**3),
    }
    assert size["disk"] == 9 * 1024**3 + (120_960_000 - 24_000_000) * 107
    assert size["topic_bytes"]["ledger"] == pytest.approx(1.25 * 200 * 8 * 86_400 * 380)
    assert size["topic_bytes"]["windows"] == pytest.approx(1.25 * (1_584_000 * 1_050 + 1_440_000 * 140))
    assert any(text.startswith("200 Workflows a second") for text in size["warnings"])


def test_a_small_installation_takes_what_every_installation_takes() -> None:
    size = told("--rate", "5", "--replicas", "1")
    assert (size["arrivals"], size["waiting"], size["runs"]) == (0, 0, 5)
    assert (size["processes"], size["partitions"], size["settings"], size["warnings"]) == (2, 24, {}, [])
    assert size["disk"] == 8 * 1024**3  # as in deploy/base


def test_trigger_files_say_slots_windows_and_fan_out(triggers: Path) -> None:
    size = told(str(triggers), "--rate", "order=40", "--rate", "payment=30", "--passes", "pair=0.5")
    assert size["arrivals"] == 35
    assert size["runs"] == 15 + 40  # the rarer event of the pair, and each order
    assert size["waiting"] == pytest.approx(35 * 4_200)
    assert size["remembered"] == pytest.approx(35 * 7_200)
    shorter = told(str(triggers), "--rate", "40", "--wait", "60s", "--dedupe", "10m", "--runs", "8")
    assert (shorter["waiting"], shorter["remembered"], shorter["runs"]) == (80 * 60, 80 * 600, pytest.approx(8))


def test_a_trigger_without_a_key_needs_all_of_its_room_in_one_partition(tmp_path: Path) -> None:
    (tmp_path / "triggers.yaml").write_text(KEYLESS)
    keyless = told(str(tmp_path), "--rate", "100", "--event-bytes", "800")
    (tmp_path / "triggers.yaml").write_text(PAIR)
    keyed = told(str(tmp_path), "--rate", "100", "--event-bytes", "800")
    assert keyless["window_memory"] == keyed["window_memory"]
    assert int(keyless["settings"]["FLOWBRIDGE_WINDOW_DISK_BYTES"]) > 20 * 1024**3
    assert "FLOWBRIDGE_WINDOW_DISK_BYTES" not in keyed["settings"]
    assert int(keyless["settings"]["FLOWBRIDGE_REMEMBERED_BOUND"]) >= 200 * (4_200 + 7_200)
    assert [text.partition(":")[0] for text in keyless["warnings"]][:1] == ["default/pair"]


def size_with(**changes: Any) -> Size:
    usual: dict[str, Any] = {
        "name": "t",
        "number": 1,
        "evaluated": 10,
        "passed": 10,
        "runs": 5,
        "waits": 60,
        "remembers": 60,
        "is_keyed": True,
    }
    load: dict[str, Any] = {"events": 10, "event_bytes": 500, "run_time": 60, "horizon": 86_400, "replication": 1}
    trigger = TriggerLoad(**{name: changes.pop(name, value) for name, value in usual.items()})
    return size_of(Load(**{**load, **changes}, triggers=(trigger,)))


@pytest.mark.parametrize(
    "changes",
    [{"passed": 20, "evaluated": 20}, {"waits": 120}, {"remembers": 120}, {"event_bytes": 900}, {"number": 3}],
)
def test_more_load_takes_more(changes: dict[str, Any]) -> None:
    few, many = size_with(), size_with(**changes)
    assert many.window_memory > few.window_memory
    assert many.topic_bytes["windows"] > few.topic_bytes["windows"]


def test_one_matcher_that_cannot_keep_up_with_a_trigger_without_a_key_is_a_warning() -> None:
    assert any("one matcher has all" in text for text in size_with(passed=8_000, is_keyed=False).warnings)
    assert not any("one matcher has all" in text for text in size_with(passed=8_000).warnings)


# -- the command -------------------------------------------------------------------------------------------------------


def test_people_read_lines_with_units_and_the_settings_to_set(triggers: Path) -> None:
    result = sized(str(triggers), "--rate", "4")
    assert result.exit_code == ExitCode.OK
    assert "default/pair: 8 events/s pass, 4 runs/s, 33,600 arrivals wait, 57,600 are remembered" in result.stdout
    assert "default/each: 4 events/s pass, 4 runs/s, without a window" in result.stdout
    assert "FLOWBRIDGE_REPLICATION=3" in result.stdout
    assert "emptyDir      8Gi for /tmp of each process" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), "no rate is given"),
        (("--rate", "many"), "expected events a second"),
        (("--rate", "-1"), "expected events a second"),
        (("--rate", "inf"), "expected events a second"),
        (("--rate", "nan"), "expected events a second"),
        (("--rate", "1", "--passes", "2"), "expected a share from 0 to 1"),
        (("--rate", "order=1"), "a name is given, and no trigger file"),
        (("--rate", "1", "--slots", "2"), "--slots 2 without --window"),
        (("--rate", "1", "--fan-out", "2"), "--fan-out 2 of 1 triggers"),
        (("--rate", "1", "--window", "soon"), "--window: "),
        (("{folder}",), "no rate is given of order, payment"),
        (("{folder}", "--rate", "refund=1"), "'refund' is no event of these triggers"),
        (("{folder}", "--rate", "1", "--passes", "refund=1"), "'refund' is no trigger of these files"),
        (("{folder}/none", "--rate", "1"), "no such file or folder"),
    ],
)
def test_what_cannot_be_sized_is_wrong_usage_that_says_what_was_found(
    arguments: tuple[str, ...], found: str, triggers: Path
) -> None:
    result = sized(*(argument.format(folder=triggers) for argument in arguments))
    assert result.exit_code == ExitCode.USAGE
    assert found in result.stderr
    assert "what to do: " in result.stderr
    assert "Traceback" not in result.output


def test_the_examples_of_the_page_of_operations_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (PERFORMANCE.parent / "operations.md").read_text(encoding="utf-8")
    examples = re.findall(r"^    flowbridge size (.+)$", page, re.MULTILINE)
    assert len(examples) == 2
    (tmp_path / "triggers").mkdir()
    pair = PAIR.partition("---")[0].replace("name: order,", "name: order.created,").replace("payment,", "payment.done,")
    (tmp_path / "triggers" / "ship.yaml").write_text(pair.replace("{name: pair}", "{name: ship}"))
    monkeypatch.chdir(tmp_path)
    for example in examples:
        result = sized(*example.split())
        assert result.exit_code == ExitCode.OK, result.output
