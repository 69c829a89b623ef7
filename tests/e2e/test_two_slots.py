"""Triggers on events that belong together, from end to end: in whatever order they come, each pair gets its run."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from e2e.expected import ExpectedEvent, ExpectedRun, assert_is
from e2e.installation import names_in, parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.bridge_process import BridgeProcess
    from e2e.installation import Installation

NOON = datetime(2024, 2, 29, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
BOTH = '{both: order.payload.address + "/" + string(payment.payload.paid)}'


def _trigger(name: str, more: str = "", within: str = "1h", parameters: str = "{}", third: str = "") -> str:
    return f"""
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {{name: {name}}}
spec:
  events:
    - {{name: {name}.order, as: order, key: payload.order_id, parameters: {{address: address}}}}
    - {{name: {name}.payment, as: payment, key: payload.pays_for, parameters: {{paid: paid}}}}
    {third}
  window: {{within: {within}}}
  {more}
  run: {{workflowTemplate: ship-order, parameters: {parameters}}}
"""


THIRD = "- {name: two-of-three.pickup, as: pickup, key: payload.order_id, parameters: {place: place}}"
TRIGGERS = "---".join(
    [
        _trigger("in-order", parameters=BOTH),
        *map(_trigger, ("out-of-order", "twice", "apart", "many", "latest")),
        _trigger("first", "collect: first"),
        _trigger("alone", "grace: 1s", within="2s"),
        _trigger("any", "require: any"),
        _trigger("two-of-three", "require: 2", third=THIRD),
    ]
)


@pytest.fixture(scope="module")
def bridge(installation: Installation) -> Iterator[BridgeProcess]:
    """A bridge with all triggers of this module; trigger NAME reads NAME.order and NAME.payment."""
    installation.create_template("ship-order", address="none", paid="none", both="none", place="none")
    installation.write_triggers(TRIGGERS)
    with installation.process() as process:
        installation.wait_triggers(*names_in(TRIGGERS))
        yield process


class Shop:
    """Publishes the events of one trigger, each acknowledged before the next, and expects its runs."""

    def __init__(self, installation: Installation, trigger: str) -> None:
        self._installation = installation
        self._trigger = trigger

    def order(self, event_id: str = "o-1", at: datetime = NOON, key: str = "k") -> None:
        """An order that is to be sent to a street of its own."""
        self._publish("order", event_id, key, at, {"order_id": key, "address": f"{event_id} Street"})

    def payment(self, event_id: str = "p-1", at: datetime = NOON, key: str = "k") -> None:
        """A payment for an order."""
        self._publish("payment", event_id, key, at, {"pays_for": key, "paid": 12})

    def pickup(self, event_id: str = "u-1", at: datetime = NOON, key: str = "k") -> None:
        """A pickup of an order."""
        self._publish("pickup", event_id, key, at, {"order_id": key, "place": "corner"})

    def pair(
        self, order: str = "o-1", payment: str = "p-1", newest: datetime = NOON, key: str = "k", **more: str
    ) -> ExpectedRun:
        """The run of an order with a payment."""
        events = (
            ExpectedEvent("order", f"{self._trigger}.order", order),
            ExpectedEvent("payment", f"{self._trigger}.payment", payment),
        )
        given = {"address": f"{order} Street", "paid": "12", **more}
        return ExpectedRun(self._trigger, "ship-order", events, newest, given, key=key)

    def _publish(self, what: str, event_id: str, key: str, at: datetime, payload: dict[str, Any]) -> None:
        with self._installation.publisher() as publisher:
            publisher.publish(f"{self._trigger}.{what}", payload, key=key, id=event_id, time=at)


def test_a_pair_in_order_gets_one_run_with_values_of_both(bridge: BridgeProcess, installation: Installation) -> None:
    shop = Shop(installation, "in-order")
    shop.order()
    installation.wait_decisions(bridge, "in-order", waiting=1)
    shop.payment(at=NOON + MINUTE)
    (workflow,) = installation.wait_workflows("in-order", 1)
    assert_is(workflow, shop.pair(newest=NOON + MINUTE, both="o-1 Street/12"), installation)


def test_a_pair_out_of_order_gets_the_same_run(bridge: BridgeProcess, installation: Installation) -> None:
    shop = Shop(installation, "out-of-order")
    shop.payment(at=NOON + MINUTE)
    installation.wait_decisions(bridge, "out-of-order", waiting=1)
    shop.order()
    (workflow,) = installation.wait_workflows("out-of-order", 1)
    assert_is(workflow, shop.pair(newest=NOON + MINUTE), installation)


def test_an_event_that_comes_again_is_used_once(bridge: BridgeProcess, installation: Installation) -> None:
    """While it waits, and after it was used."""
    shop = Shop(installation, "twice")
    shop.order()
    shop.order()
    installation.wait_decisions(bridge, "twice", waiting=1, duplicate=1)
    shop.payment()
    installation.wait_decisions(bridge, "twice", created=1)
    shop.order()
    shop.payment()
    counts = installation.wait_decisions(bridge, "twice", duplicate=3)
    assert counts == {"waiting": 1, "matched": 2, "duplicate": 3, "created": 1}
    (workflow,) = installation.workflows("twice")
    assert_is(workflow, shop.pair(), installation)


def test_events_that_happened_too_far_apart_do_not_meet(bridge: BridgeProcess, installation: Installation) -> None:
    """The window is closed at both ends: one hour fits, a microsecond more does not."""
    shop = Shop(installation, "apart")
    shop.payment()
    installation.wait_decisions(bridge, "apart", waiting=1)
    shop.order("o-late", NOON + 60 * MINUTE + timedelta(microseconds=1))
    installation.wait_decisions(bridge, "apart", waiting=2)
    shop.order("o-early", NOON - 60 * MINUTE)
    assert installation.wait_decisions(bridge, "apart", created=1) == {"waiting": 2, "matched": 2, "created": 1}
    (workflow,) = installation.workflows("apart")
    assert_is(workflow, shop.pair("o-early"), installation)


def test_an_event_whose_partner_never_comes_expires(bridge: BridgeProcess, installation: Installation) -> None:
    """And does not wait for one that comes too late."""
    shop = Shop(installation, "alone")
    shop.order()
    installation.wait_decisions(bridge, "alone", expired=1)
    shop.payment()
    assert installation.wait_decisions(bridge, "alone", expired=2) == {"waiting": 2, "expired": 2}
    assert installation.workflows("alone") == []


def test_events_of_many_keys_find_their_partners(bridge: BridgeProcess, installation: Installation) -> None:
    """Thirty pairs, shuffled over both topics with a fixed seed, some events twice."""
    keys = [f"k-{number}" for number in range(30)]
    events = [(name, key) for key in keys for name in ("order", "payment")]
    events += events[::7]
    random.Random(7).shuffle(events)
    payloads: dict[str, Any] = {"order": ("order_id", "address"), "payment": ("pays_for", "paid")}
    with installation.publisher() as publisher:
        for name, key in events:
            by, carries = payloads[name]
            payload = {by: key, carries: f"{key} Street" if name == "order" else 12}
            publisher.publish(f"many.{name}", payload, key=key, id=f"{name}-{key}", time=NOON)
    counts = installation.wait_decisions(bridge, "many", created=30, duplicate=len(events) - 60)
    assert (counts["matched"], counts["created"]) == (60, 30)
    shop = Shop(installation, "many")
    found = {
        workflow["metadata"]["annotations"]["flowbridge.dev/key"]: workflow
        for workflow in installation.workflows("many")
    }
    assert sorted(found) == sorted(keys)
    for key, workflow in found.items():
        run = shop.pair(f"order-{key}", f"payment-{key}", key=key, address=f"{key} Street")
        assert_is(workflow, run, installation)


def test_latest_takes_the_newest_and_passes_over_what_is_older(
    bridge: BridgeProcess, installation: Installation
) -> None:
    shop = Shop(installation, "latest")
    shop.order("o-1", NOON)
    shop.order("o-2", NOON + MINUTE)
    installation.wait_decisions(bridge, "latest", waiting=2)
    shop.payment("p-1")
    (workflow,) = installation.wait_workflows("latest", 1)
    assert_is(workflow, shop.pair("o-2", newest=NOON + MINUTE), installation)
    shop.order("o-0", NOON - MINUTE)
    installation.wait_decisions(bridge, "latest", superseded=2)
    shop.payment("p-2", NOON + MINUTE)
    counts = installation.wait_decisions(bridge, "latest", waiting=3, created=1)
    assert counts == {"waiting": 3, "matched": 2, "superseded": 2, "created": 1}


def test_first_pairs_events_off_in_their_order(bridge: BridgeProcess, installation: Installation) -> None:
    shop = Shop(installation, "first")
    shop.order("o-1", NOON)
    shop.order("o-2", NOON + MINUTE)
    installation.wait_decisions(bridge, "first", waiting=2)
    shop.payment("p-1", NOON)
    installation.wait_workflows("first", 1)
    shop.payment("p-2", NOON)
    earlier, later = installation.wait_workflows("first", 2)
    assert_is(earlier, shop.pair("o-1", "p-1"), installation)
    assert_is(later, shop.pair("o-2", "p-2", NOON + MINUTE), installation)


def test_any_event_is_enough_where_any_is_required(bridge: BridgeProcess, installation: Installation) -> None:
    shop = Shop(installation, "any")
    shop.order()
    installation.wait_workflows("any", 1)
    shop.payment()
    earlier, later = installation.wait_workflows("any", 2)
    assert (parameters(earlier), parameters(later)) == ({"address": "o-1 Street"}, {"paid": "12"})
    assert installation.wait_decisions(bridge, "any", created=2) == {"matched": 2, "created": 2}


def test_two_of_three_events_are_enough_where_two_are_required(
    bridge: BridgeProcess, installation: Installation
) -> None:
    shop = Shop(installation, "two-of-three")
    shop.pickup()
    installation.wait_decisions(bridge, "two-of-three", waiting=1)
    shop.order()
    (workflow,) = installation.wait_workflows("two-of-three", 1)
    assert parameters(workflow) == {"address": "o-1 Street", "place": "corner"}
    shop.payment()
    counts = installation.wait_decisions(bridge, "two-of-three", waiting=2, created=1)
    assert counts == {"waiting": 2, "matched": 2, "created": 1}
