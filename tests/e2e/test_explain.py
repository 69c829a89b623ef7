"""Ten questions of a bewildered user, each answered by one command on a real Kafka and a real API server.

``docs/explain.md`` asks the same questions with the same commands, and shows these answers.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from e2e.bridge_process import FLOWBRIDGE, in_environment
from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.installation import Installation

pytestmark = pytest.mark.timeout(300)

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
_QUESTION = r"(### {number}\. [^\n]*\n.*?```text\n\$ )([^\n]*)\n(.*?)(```)"
_DIFFERING = (
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "TIME"),
    (re.compile(r"definition [0-9a-f]{12}"), "DEFINITION"),
    (re.compile(r"-[a-z2-7]{16}\b"), "-RUN"),
    (re.compile(r"\b(order|payment|refund)/\d+/\d+"), r"\1/PLACE"),
    (re.compile(r"1 hour( \d+ seconds?)?"), "1 hour"),
    (re.compile(r"3 hours( \d+ seconds?)?"), "3 hours"),
    (re.compile(r"\d+ records? (read|of its)"), r"N records \1"),
    (re.compile(r", happened TIME"), ""),  # shown where a publisher took a second or more
    (re.compile(r" \(recomputed\)"), ""),  # the sample of decisions may be full
    (re.compile(r"recomputed decisions: .*?(?=\n\n|\Z)", re.DOTALL), "recomputed decisions"),
)
"""What differs from one time to another."""

SHIP = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: ship}}
spec:
  suspend: {suspend}
  events:
    - {{name: {prefix}order, as: order}}
    - {{name: {prefix}payment, as: payment, where: payload.settled == true}}
  window: {{within: {within}}}
  key: payload.order
  run:
    workflowTemplate: {template}
    startDeadline: 12h
    parameters: {{order: order.payload.order, amount: payment.payload.amount}}
"""
STRICT = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: strict}}
spec:
  events:
    - {{name: {prefix}payment, as: payment, where: "payload.settled == true && payload.amount > 1000000"}}
  run: {{workflowTemplate: ship, parameters: {{order: payment.payload.order}}}}
"""
BROKEN = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: broken}}
spec:
  events: [{{name: {prefix}refund}}]
  run: {{workflowTemplate: refund}}
"""


ORDERS = """\
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: orders}}
spec:
  events: [{{name: {prefix}order, as: order, where: payload.order == 'none'}}]
  run: {{workflowTemplate: ship, parameters: {{order: order.payload.order}}}}
"""


class Shop:
    """An installation whose bridge has seen what people ask about."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.names = f"shop-{installation.prefix}"

    def write(
        self, *, suspend: bool = False, within: str = "2h", template: str = "ship", with_ship: bool = True
    ) -> None:
        ship = SHIP.format(prefix=self.names, suspend=str(suspend).lower(), within=within, template=template)
        texts = [text.format(prefix=self.names) for text in (STRICT, BROKEN, ORDERS)]
        texts += [ship] if with_ship else []
        self.installation.write_triggers("---\n".join(texts))
        self.installation.wait_triggers_as_written()

    def publish(self, name: str, id_: str, *, ago: timedelta = timedelta(0), **payload: Any) -> None:
        with self.installation.publisher() as publisher:
            publisher.publish(f"{self.names}{name}", payload, id=id_, time=datetime.now(UTC) - ago)
            publisher.flush()

    def order(self, number: int, id_: str = "", **more: Any) -> None:
        self.publish("order", id_ or f"o-{number}", order=f"order-{number}", **more)

    def pay(self, number: int, id_: str = "", *, settled: Any = True, amount: int = 10, **more: Any) -> None:
        self.publish("payment", id_ or f"p-{number}", order=f"order-{number}", settled=settled, amount=amount, **more)

    def ask(self, number: int, *words: str) -> dict[str, Any]:
        """Ask a question of the page, hold what is printed against the page, and return the story."""
        done = self.installation.command("explain", *words, COLUMNS="120")
        assert done.returncode == 0, done.stderr
        shown = self._shown(done.stdout)
        if os.environ.get("FLOWBRIDGE_WRITE_PAGE"):  # for a person who writes the page
            PAGE.write_text(_answered(PAGE.read_text("utf-8"), number, shown), "utf-8")
        command, answer = _block(PAGE.read_text("utf-8"), number)
        assert _comparable(answer) == _comparable(shown)
        asked = " ".join(["flowbridge", "explain", *words])
        assert _comparable(command.replace("WORKFLOW", "")) == _comparable(re.sub(r"ship-[a-z2-7]{16}", "", asked))
        plain = self.installation.command("explain", *words, "-o", "json")
        assert plain.returncode == 0, plain.stderr
        story: dict[str, Any] = json.loads(plain.stdout)
        story["printed"] = done.stdout
        return story

    def _shown(self, printed: str) -> str:
        """Return what was printed, with the names of the page."""
        variable = re.sub(r"\W", "_", self.names)
        for name, shown in ((self.names, ""), (variable, ""), (self.installation.namespace, "demo")):
            printed = printed.replace(name, shown)
        return re.sub(r"of\s+/\S+/triggers.yaml:\d+", "of triggers.yaml", printed)

    def runs(self, number: int) -> list[str]:
        """Return the names of the Workflows of an order."""
        return [
            workflow["metadata"]["name"]
            for workflow in self.installation.workflows("ship")
            if any(
                parameter["name"] == "order" and parameter["value"] == f"order-{number}"
                for parameter in workflow["spec"]["arguments"]["parameters"]
            )
        ]


def _block(page: str, number: int) -> tuple[str, str]:
    """Return the command and the answer of a question of the page."""
    found = re.search(_QUESTION.format(number=number), page, re.DOTALL)
    assert found is not None
    return found[2], found[3]


def _answered(page: str, number: int, answer: str) -> str:
    return re.sub(
        _QUESTION.format(number=number),
        lambda found: f"{found[1]}{found[2]}\n{answer}{found[4]}",
        page,
        flags=re.DOTALL,
    )


def _comparable(text: str) -> list[str]:
    """Return the words of a text without what differs from one time to another."""
    for pattern, stand_in in _DIFFERING:
        text = pattern.sub(stand_in, text)
    return text.split()


@pytest.fixture(scope="module")
def shop(installation: Installation) -> Any:
    installation.create_template("ship", order="none", amount="0")
    shop = Shop(installation)
    with installation.process() as bridge:
        shop.write(with_ship=False)
        shop.order(9)
        shop.pay(9)
        installation.wait_idle()
        shop.write()
        shop.order(1)
        shop.pay(1, settled="True")  # 1: a text in place of true
        shop.order(2)
        shop.pay(2, "p-2a")
        installation.wait_workflows("ship", 1)
        shop.order(2, "o-2b")
        shop.pay(2, "p-2b")  # 2: the same payment under a new id
        shop.order(3)
        shop.order(3, "o-3b")
        shop.pay(3, amount=1)  # 3: the amount is that of another payment
        installation.wait_workflows("ship", 3)
        shop.order(4, "o-4", ago=timedelta(hours=1))
        shop.pay(4, ago=timedelta(hours=1))  # 4: an hour late
        shop.order(6)
        shop.pay(6, "p-6", ago=timedelta(hours=3))  # 6: three hours apart
        shop.publish("refund", "r-7", order="order-7")  # 7: there is no template
        installation.wait_workflows("ship", 4)
        shop.write(suspend=True)
        shop.order(8)
        shop.pay(8)  # 8: suspended
        installation.wait_processed()
        shop.write()
        wait_for(lambda: len(shop.runs(4)) == 1, 60, "the run of order 4")
        bridge.terminate()
    shop.order(10)
    shop.pay(10)  # 10: no bridge runs
    return shop


def _commands(page: Path) -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("flowbridge ")]


@pytest.mark.parametrize("page", ["explain.md", "testing.md"])
def test_each_command_of_the_pages_runs_as_it_stands_there(shop: Shop, tmp_path: Path, page: str) -> None:
    ship = SHIP.format(prefix=shop.names, suspend="false", within="2h", template="ship")
    for folder in ("triggers", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ship.yaml").write_text(ship)
    (tmp_path / "triggers" / "ship.yaml").write_text(ship)
    (tmp_path / "tests" / "none.yaml").write_text("triggers: [../ship.yaml]\nevents: []\nexpect: {runs: []}\n")
    (tmp_path / "docs").symlink_to(PAGE.parent)
    (run,) = shop.runs(3)
    environment = [*in_environment(shop.installation.environment), f"PATH={FLOWBRIDGE.parent}:/usr/bin:/bin"]
    commands = _commands(PAGE.parent / page)
    assert len(commands) >= 5
    for command in commands:
        asked = re.sub(r"ship-[a-z2-7]{16}", run, command)
        done = subprocess.run(
            ["env", *environment, "bash", "-c", asked],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{asked}\n{done.stdout}\n{done.stderr}"


def test_1_the_payment_came_and_nothing_ran(shop: Shop) -> None:
    story = shop.ask(1, "--trigger", "ship", "--event", "p-1")
    (decision,) = next(event for event in story["events"] if event["id"] == "p-1")["decisions"]
    assert (decision["reason"], decision["known"]) == ("filtered", "recorded")
    assert "payload.settled is a string, which is never equal to a value of type bool" in " ".join(
        story["printed"].split()
    )


def test_2_it_ran_twice(shop: Shop) -> None:
    story = shop.ask(2, "--trigger", "ship", "--key", "order-2")
    assert len(story["runs"]) == len(shop.runs(2)) == 2
    assert any("runs of different events" in sentence and "p-2a and p-2b" in sentence for sentence in story["answer"])


def test_3_it_ran_with_the_wrong_amount(shop: Shop) -> None:
    (name,) = shop.runs(3)
    story = shop.ask(3, "--trigger", "ship", "--run", name)
    (run,) = story["runs"]
    assert {"name": "amount", "value": "1", "origin": "payment.payload.amount"} in run["parameters"]
    assert {(event["slot"], event["id"]) for event in run["events"]} == {("order", "o-3b"), ("payment", "p-3")}
    first = next(event for event in story["events"] if event["id"] == "o-3")
    assert first["decisions"][-1]["reason"] == "superseded"


def test_4_it_ran_an_hour_late(shop: Shop) -> None:
    (name,) = shop.runs(4)
    story = shop.ask(4, "--trigger", "ship", "--run", name)
    assert any("1 hour" in sentence and "the publisher was late" in sentence for sentence in story["answer"])


def test_5_it_never_ran_at_all(shop: Shop) -> None:
    story = shop.ask(5, "--trigger", "strict")
    assert story["answer"][0].startswith("No run of it is recorded")
    assert any(sentence.startswith("The nearest miss: ") for sentence in story["answer"])
    assert "FALSE payload.amount > 1000000" in story["printed"]


def test_6_both_events_are_there_and_they_did_not_meet(shop: Shop) -> None:
    story = shop.ask(6, "--trigger", "ship", "--key", "order-6")
    assert story["runs"] == []
    assert {event["id"]: event["decisions"][-1]["reason"] for event in story["events"]} == {
        "o-6": "waiting",
        "p-6": "waiting",
    }
    (window,) = story["windows"]
    assert [waiting["slot"] for waiting in window["waiting"]] == ["order", "payment"]


def test_7_the_run_is_there_and_its_workflow_is_not(shop: Shop) -> None:
    story = shop.ask(7, "--trigger", "broken", "--event", "r-7")
    (run,) = story["runs"]
    assert run["outcome"] == "waiting"
    assert "refund" in run["text"]


def test_8_it_worked_yesterday(shop: Shop) -> None:
    story = shop.ask(8, "--trigger", "ship", "--event", "p-8")
    asked = next(event for event in story["events"] if event["id"] == "p-8")
    assert [decision["reason"] for decision in asked["decisions"]] == ["suspended"]
    assert "--only suspended" in story["answer"][0]


def test_9_nothing_ran_of_what_came_before_the_trigger(shop: Shop) -> None:
    story = shop.ask(9, "--trigger", "ship", "--event", "p-9")
    asked = next(event for event in story["events"] if event["id"] == "p-9")
    assert [decision["reason"] for decision in asked["decisions"]] == ["not-in-force"]


def test_10_did_the_bridge_forget_it_or_is_it_behind(shop: Shop) -> None:
    story = shop.ask(10, "--trigger", "ship", "--event", "p-10")
    asked = next(event for event in story["events"] if event["id"] == "p-10")
    assert [decision["reason"] for decision in asked["decisions"]] == ["not-read"]


def test_what_is_asked_wrongly_is_answered_with_what_to_do(shop: Shop) -> None:
    def refused(*words: str) -> subprocess.CompletedProcess[str]:
        done = shop.installation.command("explain", *words)
        assert (done.returncode, done.stdout) == (2, "")
        return done

    assert "there is no trigger" in refused("--trigger", "none", "--event", "x").stderr
    assert "--event and --key together" in refused("--trigger", "ship", "--event", "x", "--key", "y").stderr
    assert "has no correlation key" in refused("--trigger", "strict", "--key", "y").stderr
    assert "'yesterday' names no time" in refused("--trigger", "ship", "--from", "yesterday").stderr


def test_a_recorded_incident_fails_before_the_trigger_is_mended_and_passes_after(shop: Shop, tmp_path: Path) -> None:
    """The payment of order 1 said "True". The mended trigger takes that as well."""
    done = shop.installation.command("record", "--trigger", "ship", "--key", "order-1", "--trigger-file", "ship.yaml")
    assert done.returncode == 0, done.stderr
    case = tmp_path / "incident.yaml"
    runs = "  runs:\n  - events: [o-1, p-1]\n    parameters: {order: order-1, amount: '10'}\n"
    case.write_text(done.stdout.replace("  runs: []\n", runs).split("  decisions:")[0])
    before = SHIP.format(prefix=shop.names, suspend="false", within="2h", template="ship")
    (tmp_path / "ship.yaml").write_text(before)
    failed = shop.installation.command("test", "--events", str(case))
    assert failed.returncode == 1, failed.stdout
    assert "no such run: 0 runs in all" in failed.stdout
    mended = before.replace("payload.settled == true", "\"string(payload.settled) in ['true', 'True']\"")
    (tmp_path / "ship.yaml").write_text(mended)
    passed = shop.installation.command("test", "--events", str(case))
    assert passed.returncode == 0, passed.stdout


def test_a_plan_shows_what_the_mended_trigger_would_have_done(shop: Shop, tmp_path: Path) -> None:
    before = SHIP.format(prefix=shop.names, suspend="false", within="2h", template="ship")
    mended = before.replace("payload.settled == true", "\"string(payload.settled) in ['true', 'True']\"")
    (tmp_path / "ship.yaml").write_text(mended)
    offsets = shop.installation.workflows("ship")
    done = shop.installation.command("plan", str(tmp_path / "ship.yaml"), "--fail-on", "removed,errors", "-o", "json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["runs"]["removed"], plan["runs"]["changed"], plan["events"]["passed"]) == (0, 0, 1)
    assert [sorted(run["events"]) for run in plan["new"]] == [["order o-1", "payment p-1"]]
    divided = shop.installation.command("plan", str(tmp_path / "ship.yaml"), "--workers", "2", "-o", "json")
    fields = ("runs", "events", "windows", "decisions", "records", "new")
    assert {name: json.loads(divided.stdout)[name] for name in fields} == {name: plan[name] for name in fields}
    stricter = before.replace("payload.settled == true", "payload.settled == true && payload.amount > 5")
    (tmp_path / "ship.yaml").write_text(stricter)
    done = shop.installation.command("plan", str(tmp_path / "ship.yaml"), "--fail-on", "removed")
    assert done.returncode == 1, done.stderr
    assert "filtered" in done.stdout
    assert shop.installation.workflows("ship") == offsets
