"""What the SDK and the commands make of a schema registry that owes nothing to ours (servers/registry.py)."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from bridge.cli.main import cli
from bridge.errors import ExitCode
from bridge.kafka.confluent.log import ConfluentLog
from bridge.kafka.log import TopicSpec
from flowbridge_sdk import Digits, EventEncoder, EventSchemas, Publisher, event_type
from flowbridge_sdk.codec import SCHEMA_ID_HEADER, Decoder, Encoder
from flowbridge_sdk.errors import (
    NotRegisteredError,
    RegistryUnavailableError,
    SchemaError,
    UndecodableError,
    UnknownSchemaIdError,
)
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import EventSchema

if TYPE_CHECKING:
    from servers.choice import AnyKafka
    from servers.registry import RegistryServer

SCHEMA: dict[str, Any] = {"type": "record", "name": "Order", "fields": [{"name": "order_id", "type": "string"}]}
SCHEMAS = EventSchemas.of([EventSchema.parse("order.created", json.dumps(SCHEMA), "order.created.avsc")])
PAYLOAD = {"order_id": "o-1"}
BODY = b"\x06o-1"
SUBJECT = "order.created-value"
OUTER = {"type": "record", "name": "Outer", "fields": [{"name": "order", "type": "Order"}]}
TO_ORDER = [{"name": "Order", "subject": "order", "version": 1}]


@dataclass
class Order:
    order_id: str


@dataclass
class Priced:
    order_id: str
    price: Annotated[Decimal, Digits(9, 2)]


def by_id(number: int) -> bytes:
    return b"\x00" + number.to_bytes(4, "big")


def run(server: RegistryServer, *arguments: str | Path, code: ExitCode = ExitCode.OK) -> str:
    """Run ``flowbridge schema`` with the registry, and return what it prints."""
    command = ["schema", *map(str, arguments), "--schema-registry-url", server.url]
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == code, result.output
    return result.output


# -- reading -----------------------------------------------------------------------------------------------------------


def test_an_id_or_a_guid_before_the_value_or_in_a_header_names_its_schema(schema_registry: RegistryServer) -> None:
    number = schema_registry.register(SUBJECT, SCHEMA)
    guid = b"\x01" + UUID(schema_registry.ask(f"/subjects/{SUBJECT}/versions/1")["guid"]).bytes
    decoder = Decoder(None, Registry(schema_registry.url))
    for framing in (by_id(number), guid):
        assert decoder.decode("order.created", framing + BODY) == PAYLOAD
        assert decoder.decode("order.created", BODY, [("ce_id", b"1"), (SCHEMA_ID_HEADER, framing)]) == PAYLOAD


def test_a_schema_may_refer_to_another_subject_which_may_be_deleted_later(schema_registry: RegistryServer) -> None:
    schema_registry.register("order", SCHEMA)
    number = schema_registry.register("outer-value", OUTER, references=TO_ORDER)
    decoder = Decoder(None, Registry(schema_registry.url))
    assert decoder.decode("outer", by_id(number) + BODY) == {"order": PAYLOAD}


@pytest.mark.parametrize(
    ("kind", "schema"), [("JSON", '{"type": "object"}'), ("PROTOBUF", 'syntax = "proto3"; message M {}')]
)
def test_a_subject_may_have_several_types_of_which_avro_is_read(
    kind: str, schema: str, schema_registry: RegistryServer
) -> None:
    avro = schema_registry.register(SUBJECT, SCHEMA)
    other = schema_registry.register(SUBJECT, schema, kind)
    decoder = Decoder(None, Registry(schema_registry.url))
    assert decoder.decode("order.created", by_id(avro) + BODY) == PAYLOAD
    with pytest.raises(UndecodableError, match=f"schema id {other} of the registry: is of type {kind}; expected AVRO"):
        decoder.decode("order.created", by_id(other) + b"{}")
    with pytest.raises(SchemaError, match=f"is of type {kind}; expected AVRO: let its publishers write Avro"):
        Encoder(None, Registry(schema_registry.url)).encode("order.created", PAYLOAD)


def test_an_id_that_the_registry_does_not_know_is_final_until_it_is_asked_again(
    schema_registry: RegistryServer,
) -> None:
    now = 0.0
    decoder = Decoder(None, Registry(schema_registry.url, clock=lambda: now))
    for unknown in (by_id(1), b"\x01" + bytes(16)):
        with pytest.raises(UnknownSchemaIdError) as error:
            decoder.decode("order.created", unknown + BODY)
        assert error.value.permanent
    assert schema_registry.register(SUBJECT, SCHEMA) == 1
    with pytest.raises(UnknownSchemaIdError):  # remembered
        decoder.decode("order.created", by_id(1) + BODY)
    now = 11.0
    assert decoder.decode("order.created", by_id(1) + BODY) == PAYLOAD


def test_a_registry_that_is_away_is_waited_for(schema_registry: RegistryServer) -> None:
    registry = Registry(schema_registry.url, config={"max.retries": 0})
    schema_registry.stop()
    with pytest.raises(RegistryUnavailableError) as away:
        Decoder(None, registry).decode("order.created", by_id(1) + BODY)
    assert not away.value.permanent
    with pytest.raises(RegistryUnavailableError):
        Encoder(SCHEMAS, registry).encode("order.created", PAYLOAD)
    schema_registry.start()
    number = schema_registry.register(SUBJECT, SCHEMA)
    assert Decoder(None, registry).decode("order.created", by_id(number) + BODY) == PAYLOAD
    assert Encoder(SCHEMAS, registry).encode("order.created", PAYLOAD) == by_id(number) + BODY


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_schema_is_registered_only_when_asked_for(schema_registry: RegistryServer) -> None:
    with pytest.raises(NotRegisteredError, match=r"order\.created\.avsc under order\.created-value"):
        Encoder(SCHEMAS, Registry(schema_registry.url)).encode("order.created", PAYLOAD)
    value = Encoder(SCHEMAS, Registry(schema_registry.url, auto_register=True)).encode("order.created", PAYLOAD)
    assert value == by_id(1) + BODY
    assert Encoder(SCHEMAS, Registry(schema_registry.url)).encode("order.created", PAYLOAD) == value


def test_the_latest_schema_of_the_subject_serves_where_the_folder_has_none(schema_registry: RegistryServer) -> None:
    schema_registry.register("order", SCHEMA)
    schema_registry.register("outer-value", SCHEMA)
    number = schema_registry.register("outer-value", OUTER, references=TO_ORDER)
    encoder = Encoder(None, Registry(schema_registry.url))
    assert encoder.encode("outer", {"order": PAYLOAD}) == by_id(number) + BODY
    assert encoder.encode("no.schema", PAYLOAD)[:2] == b"\xc3\x01"


def test_a_typed_event_is_written_with_its_own_schema_which_the_registry_must_hold(
    schema_registry: RegistryServer,
) -> None:
    schema_registry.register(SUBJECT, SCHEMA)
    registry = Registry(schema_registry.url)
    encoder = EventEncoder(registry=registry)
    created = event_type("order.created", Order)
    assert encoder.encode(created, Order("o-1")).value == by_id(1) + BODY
    priced = event_type("order.created", Priced)
    with pytest.raises(NotRegisteredError, match=r"Priced under order.created-value; register it"):
        encoder.encode(priced, Priced("o-1", Decimal("1.5")))
    assert run(schema_registry, "register", f"{__name__}:Priced", "--name", "order.created")
    record = encoder.encode(priced, Priced("o-1", Decimal("1.5")))
    assert Decoder(None, registry).decode("order.created", record.value) == {
        "order_id": "o-1",
        "price": Decimal("1.50"),
    }


def test_a_subject_makes_an_event_type_with_the_schemas_that_it_refers_to(schema_registry: RegistryServer) -> None:
    schema_registry.register("order", SCHEMA)
    number = schema_registry.register("outer-value", OUTER, references=TO_ORDER)
    registry = Registry(schema_registry.url)
    outer = event_type("outer", registry)
    assert EventEncoder(registry=registry).encode(outer, {"order": PAYLOAD}).value == by_id(number) + BODY
    with pytest.raises(SchemaError, match="refers to other schemas; the publisher needs their registry"):
        EventEncoder().encode(outer, {"order": PAYLOAD})
    with pytest.raises(SchemaError, match="subject nothing-value: the registry has no such subject"):
        event_type("nothing", registry)


# -- the commands ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "order.created.avsc").write_text(json.dumps(SCHEMA))
    return tmp_path


def test_registering_prints_id_and_version_and_may_be_repeated(schema_registry: RegistryServer, folder: Path) -> None:
    file = folder / "order.created.avsc"
    assert run(schema_registry, "register", folder, "--dry-run") == f"{SUBJECT} would take {file} as its version 1\n"
    assert schema_registry.ask("/subjects") == []
    assert run(schema_registry, "register", folder) == f"{SUBJECT} has {file} now: id 1, version 1\n"
    assert run(schema_registry, "register", folder) == f"{SUBJECT} has {file} already: id 1, version 1\n"
    file.write_text(json.dumps({**SCHEMA, "fields": [*SCHEMA["fields"], {"name": "n", "type": "int", "default": 0}]}))
    printed = json.loads(run(schema_registry, "register", folder, "-o", "json"))
    assert printed == {"subject": SUBJECT, "schema": str(file), "result": "registered", "id": 2, "version": 2}
    assert run(schema_registry, "register", file, "--subject", "other").endswith("now: id 2, version 1\n")


def test_a_schema_with_references_is_registered_with_them(schema_registry: RegistryServer, tmp_path: Path) -> None:
    (tmp_path / "order.avsc").write_text(json.dumps(SCHEMA))
    (tmp_path / "outer.avsc").write_text(json.dumps(OUTER))
    run(schema_registry, "register", tmp_path / "order.avsc", "--subject", "order")
    outer = ("register", tmp_path / "outer.avsc")
    assert "Order" in run(schema_registry, *outer, code=ExitCode.USAGE)  # a type that nothing defines
    reference = ("--reference", "Order=order@1")
    assert run(schema_registry, *outer, *reference).endswith("now: id 2, version 1\n")
    assert run(schema_registry, *outer, *reference).endswith("already: id 2, version 1\n")
    assert schema_registry.ask("/subjects/outer-value/versions/1")["references"] == TO_ORDER
    gone = run(schema_registry, *outer, "--reference", "Order=order@7", code=ExitCode.USAGE)
    assert "refers to order version 7, which is gone" in gone


def test_a_schema_is_checked_against_the_versions_of_its_subject(schema_registry: RegistryServer, folder: Path) -> None:
    first = {**SCHEMA, "fields": [{"name": "order_id", "type": "int"}]}
    schema_registry.register(SUBJECT, first)
    schema_registry.register(SUBJECT, SCHEMA)
    where = f"subject {SUBJECT} version 2 of the registry"
    assert run(schema_registry, "check", folder) == f"order.created: backward compatible with {where}\n"
    printed = run(schema_registry, "check", folder, "--mode", "full-transitive", code=ExitCode.NOT_SO)
    assert (
        f"order_id: the types differ; the reader has string, the writer int (backward, with subject {SUBJECT}"
        in printed
    )
    assert (
        f"order_id: the types differ; the reader has int, the writer string (forward, with subject {SUBJECT}" in printed
    )


def test_versions_of_a_subject_are_compared(schema_registry: RegistryServer, folder: Path) -> None:
    schema_registry.register(SUBJECT, {**SCHEMA, "fields": [{"name": "order_id", "type": "int"}]})
    schema_registry.register(SUBJECT, SCHEMA)
    old, latest = f"registry:{SUBJECT}@1", f"registry:{SUBJECT}"
    assert run(schema_registry, "diff", old, latest) == "order_id: type changed from int to string\n"
    assert run(schema_registry, "diff", latest, folder / "order.created.avsc") == "nothing changed\n"
    assert "the registry does not have it" in run(schema_registry, "diff", f"{latest}@9", old, code=ExitCode.USAGE)
    assert "has no subject gone" in run(schema_registry, "diff", "registry:gone", old, code=ExitCode.USAGE)


def test_a_registry_that_is_away_ends_each_command_with_5(schema_registry: RegistryServer, folder: Path) -> None:
    schema_registry.stop()
    file = folder / "order.created.avsc"
    commands: list[list[str | Path]] = [["register", file], ["check", file], ["diff", f"registry:{SUBJECT}", file]]
    for arguments in commands:
        printed = run(schema_registry, *arguments, code=ExitCode.REGISTRY)
        assert "the schema registry does not answer" in printed
        assert "what to do: check --schema-registry-url" in printed


# -- docs/sdk.md -------------------------------------------------------------------------------------------------------


def test_the_commands_of_the_page_run_as_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema_registry: RegistryServer, kafka: AnyKafka
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "sdk.md").read_text("utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("FLOWBRIDGE_BOOTSTRAP_SERVERS", kafka.bootstrap)
    admin = ConfluentLog({"bootstrap.servers": kafka.bootstrap}).admin()
    admin.create([TopicSpec("order.placed", 1)])
    admin.close()
    with Publisher() as publisher:
        publisher.publish("order.placed", {"order_id": "o-1"})
    monkeypatch.setenv("FLOWBRIDGE_SCHEMA_REGISTRY_URL", schema_registry.url)
    for folder in ("shop", "schemas", "deployed/schemas", "triggers"):
        (tmp_path / folder).mkdir(parents=True)
    model = page[
        page.index("from dataclasses import dataclass") : page.index(
            'with Publisher("localhost:9092") as publisher:\n    order ='
        )
    ]
    (tmp_path / "shop" / "events.py").write_text(model)
    (tmp_path / "orders.jsonl").write_text('{"order_id": "o-1"}\n{"order_id": "o-2", "amount": 1.5}\n')
    (tmp_path / "triggers" / "ship.yaml").write_text(
        """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: ship}
spec:
  events: [{name: order.placed, as: order, where: payload.order_id != "o-0"}]
  run: {workflowTemplate: ship, parameters: {id: order.payload.order_id}}
"""
    )
    commands = re.findall(r"(?:^    |`)flowbridge (schema [a-z]+ [^`\n]+)", page, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        words = shlex.split(command.partition(" > ")[0])
        result = CliRunner().invoke(cli, words)
        assert result.exit_code == ExitCode.OK, (command, result.output)
        assert result.stdout
        if target := command.partition(" > ")[2]:
            for file in (target, f"deployed/{target}", "old.avsc", "new.avsc"):
                (tmp_path / file).write_text(result.stdout)

    (tmp_path / "schemas" / "order.placed.avsc").write_text(_amount("double"))
    (tmp_path / "deployed" / "schemas" / "order.placed.avsc").write_text(_amount("string"))
    monkeypatch.delenv("FLOWBRIDGE_SCHEMA_REGISTRY_URL")
    printed = CliRunner().invoke(cli, ["schema", "check", "schemas/", "--against", "deployed/schemas/"])
    assert printed.exit_code == ExitCode.NOT_SO
    assert f"    {printed.output.splitlines()[0]}\n" in page


def _amount(kind: str) -> str:
    return json.dumps({"type": "record", "name": "Order", "fields": [{"name": "amount", "type": kind}]})
