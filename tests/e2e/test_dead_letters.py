"""Dead letters on real servers: ten thousand are listed at once, and a retry that is killed sends each one once."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from bridge.errors import ExitCode
from e2e.bridge_process import FLOWBRIDGE, in_environment
from e2e.installation import DEADLINE, parameters
from servers.process import wait_for
from servers.topics import record_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(300)

LISTED = 10_000
RETRIED = 1_000
RATE = 200
SLOWLY = 40

TRIGGER = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events: [{{name: letters.{name}, as: order}}]
  run: {{workflowTemplate: ship, parameters: {{order: order.payload.{field}}}}}
"""


class Bed:
    """An installation whose triggers ask for a field that their events do not have, until they are corrected."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._fields: dict[str, str] = {}

    def trigger(self, name: str, field: str = "none") -> None:
        self._fields[name] = field
        text = [TRIGGER.format(name=name, field=field) for name, field in self._fields.items()]
        self.installation.write_triggers("---\n".join(text))
        self.installation.wait_triggers_as_written()

    def publish(self, name: str, count: int) -> None:
        with self.installation.publisher() as publisher:
            for number in range(count):
                publisher.publish(f"letters.{name}", {"id": f"o-{number}"}, id=f"e-{number}", key=f"k-{number % 50}")
            publisher.flush()

    def ask(self, *words: str, code: ExitCode = ExitCode.OK) -> list[dict[str, Any]]:
        """Run ``flowbridge dead-letters``; return what it prints."""
        done = self.installation.command("dead-letters", *words, "-o", "json")
        assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refuses(self, *words: str) -> str:
        """Return the error of a command that is wrongly used."""
        done = self.installation.command("dead-letters", *words)
        assert done.returncode == ExitCode.USAGE, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        assert "what to do: " in done.stderr
        return done.stderr

    def letters(self, name: str, state: str = "open") -> int:
        groups = self.ask("list", "--topic", f"letters.{name}", "--state", state)
        return sum(group["count"] for group in groups)

    def wait_letters(self, name: str, count: int) -> None:
        wait_for(lambda: self.letters(name) >= count, DEADLINE, f"{count} dead letters of {name}")

    def orders(self, name: str) -> Counter[str]:
        return Counter(parameters(workflow)["order"] for workflow in self.installation.workflows(name))

    def sent(self, name: str) -> Counter[str]:
        """Return how often the event of each letter was sent back, by the letter's name."""
        topic = f"letters.{name}"
        consumer = Consumer(
            {
                "bootstrap.servers": self.installation.bootstrap,
                "group.id": f"{self.installation.prefix}reads-{topic}",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
            }
        )
        try:
            partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
            consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
            found: Counter[str] = Counter()
            ended: set[int | None] = set()
            give_up = time.monotonic() + DEADLINE
            while len(ended) < len(partitions):
                assert time.monotonic() < give_up, "the topic could not be read"
                message = consumer.poll(0.2)
                if message is None:
                    continue
                if message.error() is not None:
                    ended.add(message.partition())
                    continue
                headers: Any = message.headers() or ()
                found.update(value.decode() for header, value in headers if header == "flowbridge-letter")
            return found
        finally:
            consumer.close()


@pytest.fixture(scope="module")
def bed(installation: Installation) -> Iterator[Bed]:
    installation.create_template("ship", order=None)
    bed = Bed(installation)
    with installation.process():
        yield bed


def test_ten_thousand_letters_are_listed_by_reason_and_trigger_at_once(
    bed: Bed, record_property: Callable[[str, object], None]
) -> None:
    bed.trigger("many")
    bed.publish("many", LISTED)
    bed.wait_letters("many", LISTED)
    best = 60.0
    for _ in range(3):  # others use this machine
        begun = time.monotonic()
        (group,) = bed.ask("list", "--trigger", "many")
        best = min(best, time.monotonic() - begun)
    record_property("figures", f"{LISTED} letters are listed in {best:.2f} s")
    assert (group["reason"], group["count"], group["triggers"]) == (
        "unrunnable",
        LISTED,
        [f"{bed.installation.namespace}/many"],
    )
    assert group["first"] <= group["last"]


def test_a_retry_that_is_killed_in_the_middle_and_started_again_sends_each_letter_once(
    bed: Bed, record_property: Callable[[str, object], None]
) -> None:
    bed.trigger("killed")
    bed.publish("killed", RETRIED)
    bed.wait_letters("killed", RETRIED)
    verdicts = bed.ask("retry", "--trigger", "killed", "--dry-run", code=ExitCode.NOT_SO)
    assert (verdicts[-1]["letters"], verdicts[-1]["fails"]) == (RETRIED, RETRIED)
    bed.trigger("killed", "id")
    verdicts = bed.ask("retry", "--trigger", "killed", "--dry-run")
    assert verdicts[-1]["passes"] == RETRIED
    words = ["dead-letters", "retry", "--trigger", "killed", "--because", "corrected", "--yes", "--rate"]
    slow = [*in_environment(bed.installation.environment), str(FLOWBRIDGE), *words, str(SLOWLY)]
    marks = f"{bed.installation.prefix}retries"
    marked = record_count(bed.installation.bootstrap, marks) + RETRIED // 5
    process = subprocess.Popen(slow, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: record_count(bed.installation.bootstrap, marks) >= marked, DEADLINE, "a part to be sent")
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    before = bed.letters("killed", "sent")
    assert 0 < before < RETRIED
    begun = time.monotonic()
    done = bed.ask(*words[1:], str(RATE))[-1]
    seconds = time.monotonic() - begun
    rate = done["done"] / seconds
    record_property("figures", f"{before} letters were sent before the kill, {done['done']} after it at {rate:.0f}/s")
    assert before + done["done"] == RETRIED
    assert rate <= RATE * 1.05
    sent = bed.sent("killed")
    assert (len(sent), set(sent.values())) == (RETRIED, {1})
    bed.installation.wait_idle()
    orders = bed.orders("killed")
    assert (len(orders), set(orders.values())) == (RETRIED, {1})
    assert bed.letters("killed") == 0


def test_a_letter_is_corrected_and_another_one_given_up_and_both_say_by_whom_and_why(bed: Bed) -> None:
    bed.trigger("edited", "number")
    bed.publish("edited", 2)
    bed.wait_letters("edited", 2)
    first, second = [line["letter"] for line in bed.ask("list", "--each", "--trigger", "edited")]
    (shown,) = bed.ask("show", first)
    assert shown["payload"].keys() == {"id"}
    assert (shown["now"]["outcome"], shown["now"]["field"]) == ("fails", "run.parameters.order")
    assert shown["documented"] == "docs/errors.md#letter-unrunnable"
    (edited,) = bed.ask("edit", first, "number:=7", "--remove", "id", "--because", "no number", "--yes")
    bed.ask("discard", second, "--because", "a test event", "--yes")
    bed.installation.wait_idle()
    assert bed.orders("edited") == {"7": 1}
    (shown,) = bed.ask("show", first)
    (mark,) = shown["marks"]
    assert (mark["cause"], mark["why"], mark["successor"]) == ("edit", "no number", edited["event"])
    assert "@" in mark["by"]
    assert bed.ask("show", second)[0]["state"] == "discarded"
    assert "is edited by" in bed.refuses("edit", first, "number:=8", "--yes")
    assert "not open any more" in bed.refuses("retry", second, "--yes")


def test_letters_are_exported_and_added_again_with_the_same_bytes(bed: Bed, tmp_path: Path) -> None:
    bed.trigger("kept")
    bed.publish("kept", 3)
    bed.wait_letters("kept", 3)
    file = tmp_path / "letters.jsonl"
    done = bed.installation.command("dead-letters", "export", "--trigger", "kept", "--file", str(file))
    assert done.returncode == ExitCode.OK, done.stderr
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert sorted(line["payload"]["id"] for line in lines) == ["o-0", "o-1", "o-2"]
    assert bed.ask("import", str(file)) == [{"kind": "imported", "added": 0, "known": 3}]
    moved = tmp_path / "moved.jsonl"
    moved.write_text("".join(json.dumps({**line, "at_us": line["at_us"] + 1}) + "\n" for line in lines))
    assert bed.ask("import", str(moved))[0]["added"] == 3
    done = bed.installation.command("dead-letters", "export", "--trigger", "kept")
    again = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(again) == 6
    kept = ("key_base64", "value_base64", "headers", "topic", "partition", "offset", "timestamp", "text")
    assert Counter(json.dumps([line[name] for name in kept]) for line in again) == Counter(
        {json.dumps([line[name] for name in kept]): 2 for line in lines}
    )
    moved.write_text(moved.read_text() + '{"format": 1}\n')
    assert f"{moved}:4: stage: expected a text, found None" in bed.refuses("import", str(moved))


def test_bytes_that_cannot_be_decoded_are_replaced_by_an_event_with_a_payload_of_a_file(
    bed: Bed, tmp_path: Path
) -> None:
    bed.trigger("raw", "id")
    producer = Producer({"bootstrap.servers": bed.installation.bootstrap})
    producer.produce("letters.raw", b"no event of ours", key=b"k-1")
    assert producer.flush(DEADLINE) == 0
    bed.wait_letters("raw", 1)
    ((name, verdict),) = [
        (line["letter"], line)
        for line in bed.ask("retry", "--topic", "letters.raw", "--key", "k-1", "--dry-run", code=ExitCode.NOT_SO)
        if line["kind"] == "verdict"
    ]
    assert (verdict["outcome"], verdict["field"]) == ("fails", "value")
    (shown,) = bed.ask("show", name)
    assert (shown["payload"], shown["size"], shown["key"]) == (None, 16, "k-1")
    assert "give the whole payload with --payload" in bed.refuses("edit", name, "id=o-1", "--yes")
    file = tmp_path / "payload.json"
    file.write_text("[1]")
    assert "holds no JSON object" in bed.refuses("edit", name, "--payload", str(file), "--yes")
    file.write_text('{"id": "o-1"}')
    (edited,) = bed.ask("edit", name, "--payload", str(file), "--id", "corrected-1", "--because", "garbage", "--yes")
    assert (edited["event"], edited["now"]) == ("corrected-1", "passes")
    bed.installation.wait_idle()
    assert bed.orders("raw") == {"o-1": 1}


def test_a_retry_that_is_interrupted_stops_between_two_letters_and_goes_on_later(bed: Bed) -> None:
    bed.trigger("stopped")
    bed.publish("stopped", 4)
    bed.wait_letters("stopped", 4)
    bed.trigger("stopped", "id")
    words = ["dead-letters", "retry", "--trigger", "stopped", "--from", "1h", "--yes"]
    process = subprocess.Popen(
        [*in_environment(bed.installation.environment), str(FLOWBRIDGE), *words, "--rate", "0.05"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: bed.letters("stopped", "sent") >= 1, DEADLINE, "the first letter to be sent")
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == ExitCode.INTERRUPTED
    assert "the same command goes on" in printed
    before = bed.letters("stopped", "sent")
    assert before < 4
    assert bed.ask(*words[1:])[-1]["done"] == 4 - before
    assert set(bed.sent("stopped").values()) == {1}


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("show", "12"), "expected a letter as PARTITION/OFFSET"),
        (("show", "0/999999999"), "there is no dead letter 0/999999999"),
        (("show", "99/0"), "there is no dead letter 99/0"),
        (("retry", "--yes"), "no letters are named"),
        (("retry", "--all", "--reason", "unkeyed"), "--all together with"),
        (("retry", "--all", "--from", "yesterday"), "--all together with"),
        (("retry", "--from", "yesterday"), "'yesterday' names no time"),
        (("retry", "--from", "orders/0=1"), "--from: found offsets"),
        (("discard", "--all"), "--because"),
        (("discard", "--all", "--because", " "), "--because: found nothing in it"),
        (("edit", "0/0"), "nothing is edited"),
        (("list", "--limit", "3"), "--limit without --each"),
        (("import", "no-such-file"), "no-such-file cannot be read"),
        (("export", "--file", "no-such-folder/file"), "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(bed: Bed, words: tuple[str, ...], error: str) -> None:
    assert error in bed.refuses(*words)
