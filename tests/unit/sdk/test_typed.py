"""Event types: a model gives one schema, its objects are written without loss, and what cannot be is named."""

from __future__ import annotations

import dataclasses
import enum
import io
import json
import pickle
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from types import GenericAlias
from typing import Annotated, Any, Generic, Literal, TypeVar
from uuid import UUID

import fastavro
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbridge_sdk import (
    Avro,
    BadPayloadError,
    Digits,
    EventEncoder,
    EventSchemas,
    EventType,
    SchemaError,
    event_type,
    schema_of,
)
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.schemas import EventSchema
from unit.sdk.shop_models import ORDER_SCHEMA, Basket, Card, Item, Line, Order, Priority, Status, order

REPOSITORY = Path(__file__).parents[3]
ORDERED = event_type("order.created", Order)
T = TypeVar("T")


def decoded(kind: EventType[Any], payload: Any) -> dict[str, Any]:
    """Return what a bridge reads that has the type's schema."""
    record = EventEncoder().encode(kind, payload)
    return Decoder(EventSchemas.of([kind.schema])).decode(record.topic, record.value)


def test_a_dataclass_has_the_schema_that_a_person_would_write() -> None:
    assert schema_of(Order) == ORDER_SCHEMA


def test_its_objects_are_written_without_loss() -> None:
    parent = order(payment=None, note="parent", priority=Priority.HIGH, score=0.5, size=2)
    payload = order(payment=Card("1"), status=Status.SENT, tags={"a": ("x", "y")}, parent=parent, total=None, gift=None)
    assert decoded(ORDERED, payload) == {
        **_plain(payload),
        "parent": _plain(parent),
    }


def unpickled(content: bytes) -> Any:
    return pickle.loads(content)  # noqa: S301 - of this test


def _plain(payload: Order) -> dict[str, Any]:
    fields = dataclasses.asdict(payload)
    return {
        **fields,
        "status": payload.status.value,
        "tags": {key: list(texts) for key, texts in payload.tags.items()},
    }


def test_fastavro_reads_them_too_and_fills_the_fields_of_its_own_reader_with_the_defaults() -> None:
    body = EventEncoder().encode(ORDERED, order()).value[10:]
    schema = fastavro.parse_schema(json.loads(ORDERED.schema.text))
    assert fastavro.schemaless_reader(io.BytesIO(body), schema, None) == _plain(order())
    first_seven = {**ORDER_SCHEMA, "fields": ORDER_SCHEMA["fields"][:7]}
    older = io.BytesIO()
    values = {name: value for name, value in _plain(order()).items() if name in "id at lines payment day clock raw"}
    fastavro.schemaless_writer(older, fastavro.parse_schema(first_seven), values)
    older.seek(0)
    filled: Any = fastavro.schemaless_reader(older, fastavro.parse_schema(first_seven), schema)
    assert filled["gift"]["sku"] == "card"
    assert (filled["score"], filled["status"], filled["note"]) == (3, "NEW", None)


def test_a_pydantic_model_is_taken_with_its_aliases_digits_and_descriptions() -> None:
    kind = event_type("basket.filled", Basket)
    schema = json.loads(kind.schema.text)
    fields = {part["name"]: part for part in schema["fields"]}
    assert (schema["name"], schema["namespace"], schema["doc"]) == ("Basket", "shop", "A basket.")
    assert fields["discount"] == {
        "name": "discount",
        "type": ["null", {"type": "bytes", "logicalType": "decimal", "precision": 4, "scale": 1}],
        "doc": "In percent",
        "default": None,
    }
    assert fields["ownerName"]["default"] == "nobody"
    assert fields["local"]["type"] == ["null", {"type": "long", "logicalType": "local-timestamp-micros"}]
    assert fields["inner"]["type"] == {"type": "array", "items": "Basket"}
    assert "secret" not in fields
    opened = datetime(2026, 1, 31, 12, tzinfo=UTC)
    inner = Basket(id=UUID(int=2), opened=opened, payment="later")
    basket = Basket(
        id=UUID(int=1), items=[Item(sku="a", price=Decimal("1.25"))], opened=opened, inner=[inner], secret="no"
    )
    read = decoded(kind, basket)
    assert read == {
        "id": UUID(int=1),
        "items": [{"sku": "a", "price": Decimal("1.25")}],
        "discount": None,
        "ownerName": "nobody",
        "opened": opened,
        "local": None,
        "state": "NEW",
        "payment": 0,
        "inner": [{**read, "id": UUID(int=2), "items": [], "payment": "later", "inner": []}],
    }


def test_a_namespace_is_that_of_all_records() -> None:
    kind = event_type("order.created", Order, namespace="shop.events")
    assert kind.schema.types.keys() >= {"shop.events.Order", "shop.events.Line", "shop.events.Status"}


leaves: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (bool, st.booleans()),
    (int, st.integers(-(2**63), 2**63 - 1)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (str, st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
    (bytes, st.binary(max_size=8)),
    (datetime, st.datetimes(timezones=st.just(UTC))),
    (date, st.dates()),
    (time, st.times()),
    (UUID, st.uuids()),
    (Annotated[Decimal, Digits(9, 2)], st.decimals(-9_999_999, 9_999_999, places=2)),
    (Status, st.sampled_from(Status)),
    (Priority, st.sampled_from(Priority)),
    (Literal["a", "b"], st.sampled_from(["a", "b"])),
    (Line, st.builds(Line, st.just("x"), st.just(Decimal("1.50")), st.integers(0, 9))),
]
typed = st.recursive(
    st.sampled_from(leaves),
    lambda inner: (
        inner.map(lambda pair: (GenericAlias(list, (pair[0],)), st.lists(pair[1], max_size=3)))
        | inner.map(lambda pair: (GenericAlias(dict, (str, pair[0])), st.dictionaries(st.just("k"), pair[1])))
        | inner.map(lambda pair: (pair[0] | None, st.none() | pair[1]))
    ),
    max_leaves=4,
)


def _read_back(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, list):
        return [_read_back(item) for item in value]
    if isinstance(value, dict):
        return {key: _read_back(item) for key, item in value.items()}
    return dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value


@given(st.data())
def test_any_model_is_read_as_it_was_written_and_its_defaults_too(data: st.DataObject) -> None:
    parts = data.draw(st.lists(typed, min_size=1, max_size=4))
    fields: list[Any] = [(f"f{index}", annotation) for index, (annotation, _) in enumerate(parts)]
    values = [data.draw(strategy) for _, strategy in parts]
    model = dataclasses.make_dataclass("Made", fields)
    kind: EventType[Any] = event_type("made", model)
    assert decoded(kind, model(*values)) == {f"f{index}": _read_back(value) for index, value in enumerate(values)}
    hashable = [not isinstance(value, list | dict) for value in values]  # what dataclasses take for a default
    with_defaults = [
        (*field, dataclasses.field(default=value)) if plain else field
        for plain, field, value in sorted(zip(hashable, fields, values, strict=True), key=lambda part: part[0])
    ]
    filled = dataclasses.make_dataclass("Made", with_defaults)
    schema = EventSchema.parse("made", json.dumps(schema_of(filled)), "made")
    given_values = {f"f{index}": value for index, value in enumerate(values) if not hashable[index]}
    out = bytearray()
    schema.write(out, _read_back(given_values), 0)
    read, _ = schema.read(bytes(out), 0, 0)
    assert read == {f"f{index}": _read_back(value) for index, value in enumerate(values)}


@dataclass
class Forgotten:
    sizes: dict[str, list[complex]]


@dataclass
class Digitless:
    price: Decimal | None


@dataclass
class WithoutPlaces:
    price: Annotated[Decimal, pydantic.Field(max_digits=5)]


@dataclass
class Keyed:
    counts: dict[int, str]


@dataclass
class Pair:
    sides: tuple[int, str]


@dataclass
class Bare:
    items: list  # type: ignore[type-arg]


@dataclass
class Twice:
    when: int | Priority


@dataclass
class Endless:
    next: Endless


@dataclass
class Misfit:
    count: int = "many"  # type: ignore[assignment]


@dataclass
class Umlaut:
    größe: int  # noqa: PLC2401 - that is the fault


@dataclass
class Page(Generic[T]):
    items: list[T]


@dataclass
class OfPages:
    page: Page[int]


@dataclass
class Unknown:
    what: Missing  # type: ignore[name-defined]  # noqa: F821 - that is the fault


@dataclass
class Wrong:
    at: Annotated[int, Avro({"type": "record"})]


@dataclass
class Anything:
    payload: Any


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


@dataclass
class OfMixed:
    mixed: Mixed


class Open(pydantic.BaseModel, extra="allow"):
    id: int


class Root(pydantic.RootModel[list[int]]):
    pass


REFUSED = [
    (Forgotten, r"Forgotten: field sizes\{\}\[\]: complex has no Avro counterpart; expected bool, int, float"),
    (
        Digitless,
        r"field price: expected a Decimal with its digits: Annotated\[Decimal, Digits\(12, 2\)\], .*found none",
    ),
    (WithoutPlaces, r"field price: .*found max_digits=5, decimal_places=None"),
    (Keyed, r"field counts: dict\[int, str\] is no mapping from str; expected for example dict\[str, int\]"),
    (Pair, r"field sides: tuple\[int, str\] has parts of its own types; expected tuple\[X, ...\]"),
    (Bare, r"field items: list does not say what it holds"),
    (Twice, r"field when: int and Priority are both long in Avro"),
    (Endless, r"record Endless always holds itself"),
    (Misfit, r"field count: its default is a str 'many'; expected an int"),
    (Umlaut, r"field größe: expected a name of the letters A to Z"),
    (OfPages, r"field page: .*Page\[int\] has no Avro counterpart"),
    (Page, r"Page is generic; expected a class whose types are all stated"),
    (Unknown, r"the types of Unknown are not known: name 'Missing' is not defined"),
    (Wrong, r"field at: its Avro schema .* is wrong"),
    (Anything, r"field payload: (typing\.)?Any has no Avro counterpart"),
    (OfMixed, r"field mixed: Mixed has values that are neither all str nor all int"),
    (Open, r'Open has extra="allow"'),
    (Root, r"Root is a RootModel; expected a model whose fields have names"),
    (dict, r"expected a dataclass or a pydantic model, found dict"),
]


@pytest.mark.parametrize(("model", "problem"), REFUSED, ids=[model.__name__ for model, _ in REFUSED])
def test_a_type_without_an_avro_counterpart_is_refused_with_its_field(model: type, problem: str) -> None:
    with pytest.raises(SchemaError, match=problem):
        event_type("order.created", model)


@dataclass
class Longer(Order):
    extra: int = 0


class Shorter(Card):
    """A subclass without attributes of its own."""


def test_an_object_that_does_not_fit_is_refused_with_its_field() -> None:
    encoder = EventEncoder()
    missing = order()
    del missing.day
    misfits: list[tuple[Any, str, str, str]] = [
        ({"id": "x"}, "", "a dict", "an Order"),
        (None, "", "None", "an Order"),
        (order(at=datetime(2026, 1, 31)), "at", "a datetime", "time zone"),  # noqa: DTZ001 - refused
        (order(lines=[Line("a", Decimal("1.555"))]), "lines[0].price", "a Decimal 1.555", "2 of them behind"),
        (order(kind="phone"), "kind", "a str 'phone'", "one of web, shop"),
        (order(size=4), "size", "an int 4", "one of 1, 2, 3"),
        (order(tags={"a": [1]}), "tags.a[0]", "an int 1", "a str"),
        (order(payment=Line("a", Decimal(1))), "payment", "a Line", "None or a Card or a Cash"),
        (order(parent=order(status="LOST")), "parent.status", "a str 'LOST'", "one of NEW, SENT"),
        (missing, "day", "no attribute", "it has no value"),
        (Longer(**vars(order())), "", "a Longer, which has attributes of its own", "an Order"),
    ]
    for payload, path, found, right in misfits:
        with pytest.raises(BadPayloadError) as refused:
            encoder.encode(ORDERED, payload)
        assert refused.value.event == "order.created"
        assert (refused.value.path, refused.value.found[: len(found)]) == (path, found)
        assert right in refused.value.right


def test_a_subclass_without_attributes_of_its_own_passes() -> None:
    assert decoded(ORDERED, order(payment=Shorter("1")))["payment"] == {"number": "1"}


def test_a_file_and_a_schema_make_types_whose_payloads_are_mappings(tmp_path: Path) -> None:
    path = tmp_path / "paid.avsc"
    path.write_text('{"type": "record", "name": "Paid", "fields": [{"name": "n", "type": "int"}]}')
    kind = event_type("paid", path)
    assert decoded(kind, {"n": 1}) == {"n": 1}
    assert decoded(event_type("paid", kind.schema), {"n": 2}) == {"n": 2}
    with pytest.raises(SchemaError, match=r"missing.avsc: cannot be read"):
        event_type("paid", tmp_path / "missing.avsc")
    with pytest.raises(SchemaError, match=r"expected a dataclass, a pydantic model.*; found int 7"):
        event_type("paid", 7)  # type: ignore[call-overload]


def test_a_folder_that_says_otherwise_is_an_error_that_names_the_difference(tmp_path: Path) -> None:
    other = {**ORDER_SCHEMA, "fields": [*ORDER_SCHEMA["fields"][:-1], {"name": "extra", "type": "string"}]}
    (tmp_path / "order.created.avsc").write_text(json.dumps(other))
    encoder = EventEncoder(schemas=tmp_path)
    with pytest.raises(
        SchemaError, match=r"order.created.avsc: differs from unit.sdk.shop_models.Order, .*: seen: add"
    ):
        encoder.encode(ORDERED, order())
    (tmp_path / "order.created.avsc").write_text(json.dumps({**ORDER_SCHEMA, "doc": "Another description"}))
    assert (
        EventEncoder(schemas=tmp_path).encode(ORDERED, order()).value == EventEncoder().encode(ORDERED, order()).value
    )


def test_a_logical_type_that_differs_is_a_difference(tmp_path: Path) -> None:
    """The fingerprints are equal, and the bridge would read a number for the time."""
    fields = [{**part, "type": "long"} if part["name"] == "at" else part for part in ORDER_SCHEMA["fields"]]
    (tmp_path / "order.created.avsc").write_text(json.dumps({**ORDER_SCHEMA, "fields": fields}))
    with pytest.raises(SchemaError, match=r"at: type changed from long to timestamp-micros on long"):
        EventEncoder(schemas=tmp_path).encode(ORDERED, order())


def test_types_and_encoders_travel_to_workers() -> None:
    assert unpickled(pickle.dumps(ORDERED)) is ORDERED
    kind = event_type("other", ORDERED.schema)
    copies = {unpickled(pickle.dumps(kind)) for _ in range(3)}
    assert len(copies) == 1
    assert decoded(copies.pop(), _plain(order()) | {"payment": ("Cash", {"paid": True})}) == _plain(order())
    assert unpickled(pickle.dumps(EventEncoder())).encode(ORDERED, order()).topic == "order.created"


def test_publishing_typed_events_needs_no_pydantic() -> None:
    program = """
import sys
from dataclasses import dataclass
from flowbridge_sdk import EventEncoder, event_type

@dataclass
class Order:
    id: int

assert EventEncoder().encode(event_type("order", Order), Order(7)).value[10:] == b"\\x0e"
assert not {"pydantic", "confluent_kafka"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


CHECKED = """
from dataclasses import dataclass

from typing_extensions import assert_type

from flowbridge_sdk import AsyncPublisher, EventEncoder, EventType, Publisher, event_type


@dataclass
class Order:
    id: int


OrderCreated = event_type("order.created", Order)
assert_type(OrderCreated, EventType[Order])


async def right(publisher: Publisher, other: AsyncPublisher, encoder: EventEncoder) -> None:
    publisher.publish(OrderCreated, Order(1), key="c-7")
    await other.publish(OrderCreated, Order(1), key="c-7")
    encoder.encode(OrderCreated, Order(1), key="c-7")
    publisher.publish("order.created", {"x": 1})
    publisher.publish("order.created")
    publisher.publish(event_type("paid", "paid.avsc"), {"x": 1})


async def wrong(publisher: Publisher, other: AsyncPublisher, encoder: EventEncoder) -> None:
    publisher.publish(OrderCreated, {"x": 1})  # wrong
    publisher.publish(OrderCreated)  # wrong
    publisher.publish("order.created", Order(1))  # wrong
    publisher.publish(event_type("paid", "paid.avsc"), Order(1))  # wrong
    await other.publish(OrderCreated, {"x": 1})  # wrong
    encoder.encode(OrderCreated, {"x": 1})  # wrong
"""


def test_a_type_checker_sees_the_type_of_the_payload(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(CHECKED)
    mypy = [sys.executable, "-m", "mypy", "--config-file", str(REPOSITORY / "pyproject.toml"), str(program)]
    done = subprocess.run(mypy, cwd=REPOSITORY, capture_output=True, text=True, timeout=280, check=False)
    refused = [int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error: " in line]
    expected = [number for number, line in enumerate(CHECKED.splitlines(), 1) if line.endswith("# wrong")]
    assert refused == expected, done.stdout + done.stderr
