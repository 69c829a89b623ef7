"""Models of the tests: the types that a payload may have, as a dataclass and as a pydantic model."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pydantic

from flowbridge_sdk import Avro, Digits

OrderId = NewType("OrderId", UUID)


class Status(enum.Enum):
    NEW = "NEW"
    SENT = "SENT"


class Carrier(enum.StrEnum):
    """Values that are no Avro symbols."""

    OWN = "own-van"
    POST = "post"


class Priority(enum.IntEnum):
    LOW = 1
    HIGH = 9


@dataclass(frozen=True)
class Line:
    sku: str
    price: Annotated[Decimal, Digits(12, 2)]
    count: int = 1


@dataclass
class Card:
    number: str


@dataclass
class Cash:
    paid: bool


@dataclass
class Order:
    """An order of a customer.

    The first paragraph alone is the description.
    """

    id: OrderId
    at: datetime
    lines: list[Line]
    payment: Card | Cash | None
    day: date
    clock: time
    raw: bytes
    status: Status = Status.NEW
    carrier: Carrier = Carrier.OWN
    priority: Priority = Priority.LOW
    kind: Literal["web", "shop"] = "shop"
    size: Literal[1, 2, 3] | None = None
    note: str | None = field(default=None, metadata={"doc": "What the customer wrote"})
    score: float | int = 3
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    parent: Order | None = None
    gift: Line | None = Line("card", Decimal("1.10"))
    total: Annotated[Decimal | None, Digits(5, 1)] = Decimal("2.5")
    seen: Annotated[datetime, Avro({"type": "long", "logicalType": "timestamp-millis"})] = datetime(
        2026, 1, 31, tzinfo=UTC
    )


class Item(pydantic.BaseModel):
    sku: str
    price: Decimal = pydantic.Field(max_digits=12, decimal_places=2)


class Basket(pydantic.BaseModel):
    """A basket."""

    __avro_name__ = "shop.Basket"

    id: UUID
    items: list[Item] = []
    discount: Decimal | None = pydantic.Field(default=None, max_digits=4, decimal_places=1, description="In percent")
    owner: str = pydantic.Field(default="nobody", serialization_alias="ownerName")
    opened: pydantic.AwareDatetime
    local: pydantic.NaiveDatetime | None = None
    state: Status = Status.NEW
    payment: Annotated[int | str, "either"] = 0
    inner: list[Basket] = []
    secret: str = pydantic.Field(default="", exclude=True)


def order(**changed: Any) -> Order:
    """Return an order with a value in every field."""
    values: dict[str, Any] = {
        "id": OrderId(UUID(int=5)),
        "at": datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC),
        "lines": [Line("a", Decimal("1.5"), 2)],
        "payment": Cash(paid=True),
        "day": date(2026, 1, 31),
        "clock": time(12, 30, 0, 7),
        "raw": b"\0\xff",
        **changed,
    }
    return Order(**values)


ORDER_SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "doc": "An order of a customer.",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
        {
            "name": "lines",
            "type": {
                "type": "array",
                "items": {
                    "type": "record",
                    "name": "Line",
                    "fields": [
                        {"name": "sku", "type": "string"},
                        {
                            "name": "price",
                            "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
                        },
                        {"name": "count", "type": "long", "default": 1},
                    ],
                },
            },
        },
        {
            "name": "payment",
            "type": [
                "null",
                {"type": "record", "name": "Card", "fields": [{"name": "number", "type": "string"}]},
                {"type": "record", "name": "Cash", "fields": [{"name": "paid", "type": "boolean"}]},
            ],
        },
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "clock", "type": {"type": "long", "logicalType": "time-micros"}},
        {"name": "raw", "type": "bytes"},
        {"name": "status", "type": {"type": "enum", "name": "Status", "symbols": ["NEW", "SENT"]}, "default": "NEW"},
        {"name": "carrier", "type": "string", "default": "own-van"},
        {"name": "priority", "type": "long", "default": 1},
        {
            "name": "kind",
            "type": {"type": "enum", "name": "Order_kind", "symbols": ["web", "shop"]},
            "default": "shop",
        },
        {"name": "size", "type": ["null", "long"], "default": None},
        {"name": "note", "type": ["null", "string"], "doc": "What the customer wrote", "default": None},
        {"name": "score", "type": ["long", "double"], "default": 3},
        {"name": "tags", "type": {"type": "map", "values": {"type": "array", "items": "string"}}, "default": {}},
        {"name": "parent", "type": ["null", "Order"], "default": None},
        {"name": "gift", "type": ["Line", "null"], "default": {"sku": "card", "price": "n", "count": 1}},
        {
            "name": "total",
            "type": [{"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 1}, "null"],
            "default": "\u0019",
        },
        {
            "name": "seen",
            "type": {"type": "long", "logicalType": "timestamp-millis"},
            "default": 1769817600000,
        },
    ],
}
"""What ``Order`` is in Avro, written by hand."""
