"""``flowbridge schema``: what it prints, its exit codes, and what it says about wrong input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli.main import cli
from bridge.cli.schema import topic_events
from bridge.cli.schema.commands import schema as group
from bridge.errors import ExitCode
from bridge.replay.planner import ReplayDependencies
from bridge.settings.settings import Settings
from flowbridge_sdk.codec import Decoder
from servers.loopback import free_port
from unit.replay.replaying import around
from unit.sdk.registry_server import FakeRegistry, serving
from unit.sdk.shop_models import ORDER_SCHEMA
from unit.stages.world import World, one_slot

MODEL = "unit.sdk.shop_models:Order"
TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events: [{name: order.created, as: order, where: payload.amount > 1}]
  run: {workflowTemplate: ship, parameters: {id: order.payload.id}}
"""


def run(*arguments: str | Path, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["schema", *map(str, arguments)], input=stdin)


def refused(*arguments: str | Path, stdin: str | None = None, code: ExitCode = ExitCode.USAGE) -> str:
    """Return the error that a command ends with."""
    result = run(*arguments, stdin=stdin)
    assert result.exit_code == code
    assert "what to do: " in result.stderr
    return result.stderr.removeprefix("error: ")


def order(**kinds: Any) -> str:
    fields = [{"name": name, "type": kind} for name, kind in kinds.items()]
    for field in fields:
        if isinstance(field["type"], list):
            field["default"] = None
    return json.dumps({"type": "record", "name": "Order", "fields": fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two versions of a schema, the second of which has one field more."""
    made = tmp_path / "schemas"
    made.mkdir()
    (made / "order.created@1.avsc").write_text(order(id="int", amount="double"))
    (made / "order.created.avsc").write_text(order(id="long", amount="double", note=["null", "string"]))
    return made


@pytest.mark.parametrize("name", group.commands)
def test_every_part_has_help_to_work_from(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == ExitCode.OK
    assert result.output.startswith(f"Usage: cli schema {name} ")


# -- infer -------------------------------------------------------------------------------------------------------------


def test_a_model_prints_its_schema(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert json.loads(run("infer", MODEL).output) == ORDER_SCHEMA
    (tmp_path / "here.py").write_text(
        "from dataclasses import dataclass\n@dataclass\nclass Paid:\n    n: int\n\nclass Odd:\n    pass\n\nvalue = 1\n"
    )
    monkeypatch.chdir(tmp_path)  # as a person calls it, beside the module
    printed = json.loads(run("infer", "here:Paid", "--namespace", "shop").output)
    assert printed == {
        "type": "record",
        "name": "Paid",
        "namespace": "shop",
        "fields": [{"name": "n", "type": "long"}],
    }
    assert "here.Odd: expected a dataclass or a pydantic model, found Odd" in refused("infer", "here:Odd")
    assert "here:value is no class" in refused("infer", "here:value")
    assert "here:Gone cannot be imported: AttributeError" in refused("infer", "here:Gone")
    assert "nowhere:Gone cannot be imported: ModuleNotFoundError" in refused("infer", "nowhere:Gone")


SAMPLES = """
{"id": 1, "at": "2026-01-31T12:00:00Z", "day": "2026-01-31", "lines": [{"sku": "a", "n": 1}], "tags": {"a b": true}}
{"id": 2, "at": "2026-01-31T12:00:00+01:00", "day": "2026-02-01", "lines": [{"sku": "b", "n": 1.5, "c": null}],
 "tags": {}, "either": 1, "none": []}
{"id": 3, "at": "2026-01-31T12:00:00Z", "day": "2026-02-01", "lines": [], "tags": {}, "either": "x"}
""".replace(",\n ", ", ")


def test_samples_print_a_schema_that_takes_them_all(tmp_path: Path) -> None:
    result = run("infer", "-", "--name", "order.created", "--logical", stdin=SAMPLES)
    assert result.exit_code == ExitCode.OK, result.exception
    assert json.loads(result.stdout) == {
        "type": "record",
        "name": "OrderCreated",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {
                "name": "lines",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "OrderCreated_lines_item",
                        "fields": [
                            {"name": "sku", "type": "string"},
                            {"name": "n", "type": "double"},
                            {"name": "c", "type": ["null", "string"], "default": None},
                        ],
                    },
                },
            },
            {"name": "tags", "type": {"type": "map", "values": "boolean"}},
            {"name": "either", "type": ["null", "long", "string"], "default": None},
            {"name": "none", "type": ["null", {"type": "array", "items": "string"}], "default": None},
        ],
    }
    assert result.stderr.splitlines() == [
        "note: field lines[].c: only null was seen; it is taken for null or a string",
        "note: field none: only empty lists were seen; their items are taken for strings",
    ]
    path = tmp_path / "order.created.avsc"
    path.write_text(result.stdout)
    from flowbridge_sdk.codec import Encoder  # noqa: PLC0415 - for this test
    from flowbridge_sdk.schemas import EventSchemas  # noqa: PLC0415 - the same

    encoder = Encoder(EventSchemas.load(path))
    for line in SAMPLES.strip().splitlines():
        assert encoder.encode("order.created", json.loads(line))


def test_samples_may_be_an_array_or_a_single_object_and_texts_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "paid.json"
    path.write_text('[{"day": "2026-01-31"}, {"day": null}]')
    expected = {
        "type": "record",
        "name": "Paid",
        "fields": [{"name": "day", "type": ["null", "string"], "default": None}],
    }
    assert json.loads(run("infer", path).output) == expected
    path.write_text('{\n "id":\n 1}')
    assert json.loads(run("infer", path).output)["fields"] == [{"name": "id", "type": "long"}]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "standard input holds no event"),
        ("[1]", "item 0 of standard input is no JSON object"),
        ('{"a": 1}\nnonsense', "line 2 of standard input is no JSON"),
        ('{"a": {"b": [1e400]}}', ""),
        ('{"n": 123456789012345678901234567890}', "field n: found an int of 97 bits"),
        ('{"a b": 1}', "standard input: field 'a b': an Avro field has letters, digits and _"),
    ],
)
def test_samples_of_which_no_schema_can_be_made_are_refused(text: str, problem: str) -> None:
    if problem:
        assert problem in refused("infer", "-", stdin=text)
    else:
        assert run("infer", "-", stdin=text).exit_code == ExitCode.OK
    assert "cannot be read: No such file" in refused("infer", "missing.jsonl")


def test_the_last_events_of_a_topic_print_a_schema_that_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(one_slot())

    def dependencies(settings: Settings) -> ReplayDependencies:
        return replace(around(world), decoder=lambda: Decoder(json_topics=settings.json_topics))

    monkeypatch.setattr(topic_events, "replay_dependencies", dependencies)
    world.publish("order.created", {"order": "too old"}, partition=0)
    for number in range(4):
        world.publish("order.created", {"order": str(number), "paid": number > 1}, partition=number % 2)
    world.broker.append("order.created", 0, None, b"no event", [], None)
    world.broker.append("order.created", 1, None, b'{"order": "5", "note": "as JSON"}', [("ce_type", b"noted")], None)
    result = run("infer", "topic:order.created", "--last", "6")
    assert result.exit_code == ExitCode.OK, result.exception
    assert json.loads(result.stdout) == {
        "type": "record",
        "name": "OrderCreated",
        "fields": [
            {"name": "order", "type": "string"},
            {"name": "paid", "type": ["null", "boolean"], "default": None},
            {"name": "note", "type": ["null", "string"], "default": None},
        ],
    }
    assert result.stderr.startswith("note: order.created/0 offset 3 is left out: ")
    result = run("infer", "topic:order.created", "--name", "noted")
    assert json.loads(result.stdout)["name"] == "Noted"
    assert [field["name"] for field in json.loads(result.stdout)["fields"]] == ["order", "note"]
    assert "there is no topic nowhere" in refused("infer", "topic:nowhere")
    assert "order.created holds no event" in refused("infer", "topic:order.created", "--name", "never")


def test_a_topic_without_kafka_is_an_error_that_says_so() -> None:
    told = refused(
        "infer", "topic:order.created", "--bootstrap-servers", f"127.0.0.1:{free_port()}", code=ExitCode.KAFKA
    )
    assert told.startswith("no answer from 127.0.0.1")


# -- check -------------------------------------------------------------------------------------------------------------


def test_a_schema_is_held_to_the_version_before_it(folder: Path) -> None:
    result = run("check", folder)
    assert result.exit_code == ExitCode.OK
    assert result.output == f"order.created: backward compatible with {folder}/order.created@1.avsc\n"
    result = run("check", folder, "--mode", "full")
    assert result.exit_code == ExitCode.NOT_SO
    wrong, summary = result.output.splitlines()
    rule = "id: the types differ; the reader has int, the writer long"
    assert wrong == f"{folder}/order.created.avsc: {rule} (forward, with {folder}/order.created@1.avsc)"
    assert summary == f"order.created: not full compatible with {folder}/order.created@1.avsc"
    assert run("check", folder, "--mode", "none").exit_code == ExitCode.OK


def test_transitive_modes_look_at_every_version_and_others_at_the_last(folder: Path) -> None:
    (folder / "order.created@10.avsc").write_text(order(id="int", amount="double"))
    (folder / "order.created@9.avsc").write_text(order(id="string", amount="double"))
    assert run("check", folder).exit_code == ExitCode.OK
    result = run("check", folder, "--mode", "backward-transitive", "-o", "json")
    assert result.exit_code == ExitCode.NOT_SO
    (answer,) = map(json.loads, result.output.splitlines())
    assert answer["against"] == [f"{folder}/order.created@{version}.avsc" for version in (1, 9, 10)]
    assert answer["problems"] == [
        {
            "direction": "backward",
            "against": f"{folder}/order.created@9.avsc",
            "path": "id",
            "rule": "the types differ",
            "reader": "long",
            "writer": "string",
        }
    ]


def test_schemas_are_held_to_those_in_use(folder: Path, tmp_path: Path) -> None:
    used = tmp_path / "used"
    used.mkdir()
    (used / "order.created.avsc").write_text(order(id="string"))
    for option in ("--against", "--schemas"):
        result = run("check", folder / "order.created.avsc", option, used)
        assert result.exit_code == ExitCode.NOT_SO
        assert "amount: the reader asks for the field and has no default" in result.output
        assert f"(backward, with {used}/order.created.avsc)" in result.output
    (folder / "other.avsc").write_text(order(id="int"))
    assert "other: there is no earlier version\n" in run("check", folder, "--against", used).output


def test_a_model_is_checked_before_its_file_is_written(tmp_path: Path) -> None:
    used = tmp_path / "order.created.avsc"
    used.write_text(json.dumps({**ORDER_SCHEMA, "fields": ORDER_SCHEMA["fields"][1:]}))
    result = run("check", MODEL, "--name", "order.created", "--against", used)
    assert result.exit_code == ExitCode.NOT_SO
    assert f"{MODEL}: id: the reader asks for the field and has no default for it" in result.output
    assert "does not say what its events are called" in refused("check", MODEL)


def test_triggers_that_read_a_field_which_is_gone_are_named(folder: Path, tmp_path: Path) -> None:
    triggers = tmp_path / "triggers.yaml"
    triggers.write_text(TRIGGER)
    assert run("check", folder, "--triggers", triggers).exit_code == ExitCode.OK
    (folder / "order.created.avsc").write_text(order(id="long"))
    assert run("check", folder).exit_code == ExitCode.OK  # a reader that has no use for the field loses nothing
    result = run("check", folder, "--triggers", triggers)
    assert result.exit_code == ExitCode.NOT_SO
    last = result.output.splitlines()[-1]
    assert last.startswith(f"{triggers}:6: spec.events[0].where: ")
    assert "payload has no field 'amount'" in last
    triggers.write_text(TRIGGER.replace("payload.amount > 1", "payload.amount >"))
    assert "the triggers are wrong in any case" in refused("check", folder, "--triggers", triggers)
    assert "there is no trigger in" in refused("check", folder, "--triggers", tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("order.created.avsc", "no JSON", "no JSON"),
        ("order.created.avsc", '"string"', "an event's schema is a record or a map"),
        ("order.created.json", "{}", "is no schema"),
        ("missing", None, "does not exist"),
        ("empty/", None, "has no schema"),
    ],
)
def test_what_is_no_schema_is_wrong_input(name: str, text: str | None, problem: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    elif name.endswith("/"):
        path.mkdir()
    error = refused("check", path)
    assert problem in error
    assert str(path) in error


def test_nothing_to_check_is_wrong_usage(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    assert refused("check").startswith("there is nothing to check")
    monkeypatch.setenv("FLOWBRIDGE_SCHEMAS", str(folder))
    assert run("check").exit_code == ExitCode.OK


# -- diff --------------------------------------------------------------------------------------------------------------


def test_a_diff_tells_what_changed(folder: Path) -> None:
    pair = folder / "order.created@1.avsc", folder / "order.created.avsc"
    result = run("diff", *pair)
    assert result.exit_code == ExitCode.OK
    assert result.output.splitlines() == [
        "id: type changed from int to long (promoted)",
        "note: added, null | string, default null",
    ]
    first = json.loads(run("diff", *pair, "-o", "json").output.splitlines()[0])
    assert first == {
        "path": "id",
        "kind": "type",
        "text": "type changed from int to long (promoted)",
        "before": {"type": "int"},
        "after": {"type": "long"},
    }
    assert run("diff", pair[0], pair[0]).output == "nothing changed\n"
    assert "is no file" in refused("diff", pair[0], "missing.avsc")
    assert refused("diff", pair[0], "registry:order").startswith("no schema registry is named")


# -- register, where the registry says no (the rest is in tests/integration/test_schema_registry.py) -------------------


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with serving() as server:
        yield server


def test_a_schema_that_the_registry_finds_incompatible_is_not_registered(folder: Path, registry: FakeRegistry) -> None:
    registry.incompatible = True
    registry.register("order.created-value", {"schema": order(id="string")})
    result = run("register", folder, "--schema-registry-url", registry.url)
    assert result.exit_code == ExitCode.NOT_SO
    assert "order.created-value does not take" in result.output
    assert "the registry finds it incompatible; flowbridge schema check says why" in result.output


@pytest.mark.parametrize("arguments", [["register"], ["check"], ["diff", "registry:order.created-value@1"]])
def test_a_registry_that_is_away_has_an_exit_code_of_its_own(
    arguments: list[str], folder: Path, registry: FakeRegistry
) -> None:
    registry.broken = 503
    path = str(folder / "order.created.avsc")
    error = refused(*arguments, path, "--schema-registry-url", registry.url, code=ExitCode.REGISTRY)
    assert "the schema registry refused" in error


def test_wrong_references_and_subjects_are_wrong_usage(folder: Path, registry: FakeRegistry) -> None:
    url = ("--schema-registry-url", registry.url)
    assert "--reference: found 'Line'" in refused("register", folder, *url, "--reference", "Line")
    (folder / "other.avsc").write_text(order(id="int"))
    assert refused("register", folder, *url, "--subject", "s").startswith("--subject for 2 schemas")
    assert refused("register", folder).startswith("no schema registry is named")
