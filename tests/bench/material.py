"""What the bench works with: an event of five fields, and triggers on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

EVENT = "bench.order"
PARTNER = "bench.payment"
PAST = "bench.shipment"
"""The event of one slot whose past is replayed."""
NEVER = "bench.never"
"""An event that does not come; its topic exists."""

PARTITIONS = 4
"""Of event topics and of internal ones."""

_SCHEMA = {
    "type": "record",
    "namespace": "dev.flowbridge.bench",
    "fields": [
        {"name": "order_id", "type": "string"},
        {"name": "customer", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "quantity", "type": "long"},
        {"name": "amount", "type": "double"},
    ],
}

HEAD = "apiVersion: flowbridge.dev/v1\nkind: Trigger\nmetadata: {name: bench}\nspec:\n  startFrom: earliest\n"

REJECTING = f"""{HEAD}
  events:
    - name: {EVENT}
      where: payload.quantity > 0 && payload.country == "nowhere"
  run: {{workflowTemplate: bench}}
"""

MAPPED = f"""{HEAD}
  events:
    - name: {EVENT}
      parameters: {{order: order_id, amount: amount}}
  run: {{workflowTemplate: bench}}
"""

DEFAULT_MAPPED = f"""{HEAD}
  events:
    - name: {EVENT}
  run: {{workflowTemplate: bench}}
"""

PAIRS = f"""{HEAD}
  events:
    - name: {EVENT}
      parameters: {{order: order_id}}
    - name: {PARTNER}
      parameters: {{amount: amount}}
  key: payload.order_id
  window: {{within: 1h}}
  run: {{workflowTemplate: bench}}
"""

FEW_OF_PAST = f"""{HEAD}
  events:
    - name: {PAST}
      where: payload.quantity > 0 && payload.amount >= 247.5
      parameters: {{order: order_id, amount: amount}}
  run: {{workflowTemplate: bench}}
"""
"""Passes :func:`few_of` of the events."""

ALL_OF_PAST = MAPPED.replace(EVENT, PAST)

SINGLE = "bench.single"
"""An event without a schema of its own."""

ONE_SLOT = f"""apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: one-slot}}
spec:
  events:
    - name: {SINGLE}
      parameters: {{order: order_id, amount: amount}}
  run: {{workflowTemplate: bench}}
"""

TWO_SLOTS = PAIRS.replace("name: bench}", "name: two-slots}")

TEMPLATE = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "WorkflowTemplate",
    "metadata": {"name": "bench"},
    "spec": {
        "entrypoint": "none",
        "arguments": {"parameters": [{"name": "order"}, {"name": "amount"}]},
        "templates": [{"name": "none", "suspend": {}}],
    },
}


class Measured(NamedTuple):
    """A condition on which a matcher is measured.

    Attributes:
        text: The condition of its trigger, as YAML.
        arrivals: Arrivals of each pair of events.
        decisions: Decisions of each pair, by reason.

    """

    text: str
    arrivals: int
    decisions: dict[str, int]


BOTH = f"  events: [{{name: {EVENT}}}, {{name: {PARTNER}}}]\n"
PAIRED = {"waiting": 1, "matched": 2}
"""The second event makes the match."""
GATHERED = {"waiting": 2, "matched": 2}
"""Time makes the match."""


def place(bootstrap: str, prefix: str, schemas: Path) -> dict[str, object]:
    """Return where a measured stage works."""
    return {"bootstrap": bootstrap, "prefix": prefix, "partitions": PARTITIONS, "schemas": str(schemas)}


def order(number: int) -> dict[str, object]:
    """Return the payload of one event."""
    return {
        "order_id": f"order-{number:09d}",
        "customer": f"customer-{number % 5_000}",
        "country": "nz",
        "quantity": number % 7 + 1,
        "amount": number % 1_000 / 4,
    }


def few_of(count: int) -> int:
    """Return how many of the first ``count`` orders have an amount of 247.5 or more."""
    return sum(number % 1_000 >= 990 for number in range(count))


def write_schemas(folder: Path) -> Path:
    """Write the schemas of the events and return their folder."""
    folder.mkdir()
    for name in (EVENT, PARTNER, PAST):
        schema = {**_SCHEMA, "name": name.partition(".")[2].title()}
        (folder / f"{name}.avsc").write_text(json.dumps(schema))
    return folder


def write_trigger(folder: Path, name: str, text: str) -> Path:
    """Write a file of triggers and return it."""
    file = folder / f"{name}.yaml"
    file.write_text(text)
    return file
