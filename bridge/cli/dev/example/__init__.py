"""The example of ``flowbridge dev``: its triggers and templates (YAML in this folder), its events, and their Workflows.

The events show the purpose of the bridge: two that belong together arrive in either order, one arrives twice, a filter
leaves one out, and one never finds its partner.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent
TRIGGERS = FOLDER / "triggers.yaml"
TEMPLATES = FOLDER / "templates.yaml"


class ExampleEvent(NamedTuple):
    """An event of the example: its name, id and payload."""

    name: str
    id: str
    payload: dict[str, Any]


def events(round_: int) -> Iterator[ExampleEvent]:
    """Yield the events of one round; each round has orders of its own."""
    first, second, third = (f"o-{round_}{letter}" for letter in "abc")
    yield ExampleEvent("data.updated", f"u-{round_}-1", {"table": "sales", "rows": 120})
    yield ExampleEvent("data.updated", f"u-{round_}-2", {"table": "returns", "rows": 0})
    yield ExampleEvent("order.created", first, {"order_id": first, "address": "1 Main St"})
    yield ExampleEvent("payment.done", f"pay-{second}", {"order_id": second, "amount": 30})
    yield ExampleEvent("payment.done", f"pay-{first}", {"order_id": first, "amount": 12.5})
    yield ExampleEvent("order.created", second, {"order_id": second, "address": "2 Side St"})
    yield ExampleEvent("payment.done", f"pay-{first}", {"order_id": first, "amount": 12.5})
    yield ExampleEvent("order.created", third, {"order_id": third, "address": "3 Hill Rd"})


def expected(round_: int) -> list[dict[str, str]]:
    """Return the parameters of the Workflows that a round starts, in no order."""
    first, second = (f"o-{round_}{letter}" for letter in "ab")
    return [
        {"table": "sales", "rows": "120"},
        {"order_id": first, "address": "1 Main St", "paid": "12.5"},
        {"order_id": second, "address": "2 Side St", "paid": "30"},
    ]
