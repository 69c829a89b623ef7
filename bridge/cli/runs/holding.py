"""``flowbridge runs hold | release | holds``: have runs wait, and let them start again."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from bridge.cli.naming import identity_of
from bridge.cli.output import Output
from bridge.cli.wiring.installation import kafka
from bridge.core.event import time_text
from bridge.core.runs.holds import ALL, Order, order_text
from bridge.errors import ExitCode, UsageError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log, Partition, transact
from bridge.kafka.records import ORDER, headers_of
from bridge.replay.replays import user_and_machine
from bridge.settings.settings import Settings
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.stages.submitter.orders import read_order


def execute_hold(
    *, trigger: str | None, namespace_of: str | None, is_all: bool, why: str, settings: Settings, output: Output
) -> int:
    """Have the runs of a scope wait."""
    if not why.strip():
        raise UsageError("--because is empty", "give the reason: the next person reads it in the status")
    return _say(trigger, namespace_of, is_all=is_all, allowed=0, why=why, settings=settings, output=output)


def execute_release(
    *,
    trigger: str | None,
    namespace_of: str | None,
    is_all: bool,
    first: int | None,
    why: str,
    settings: Settings,
    output: Output,
) -> int:
    """Let the runs of a scope start, or the first of them."""
    if first is not None and trigger is None:
        raise UsageError("--first needs --trigger", "the runs of each trigger wait in an order of their own")
    return _say(trigger, namespace_of, is_all=is_all, allowed=first, why=why, settings=settings, output=output)


def execute_holds(*, settings: Settings, output: Output) -> int:
    """Show what is held, by whom, since when and why."""
    with kafka(settings) as (log, topics):
        orders = read_orders(log, topics)
    for scope, order in sorted(orders.items()):
        if order.allowed is not None:
            output.result(order_text(scope, order), plain_order(scope, order))
    if all(order.allowed is None for order in orders.values()):
        output.remark("nothing is held by a person")
    return ExitCode.OK


def read_orders(log: Log, topics: InternalTopics) -> dict[str, Order]:
    """Return what people have said about holds, by scope.

    Raises:
        UnreadableRecordError: A newer version has written something that this one cannot read.
        LogError: Kafka did not answer.

    """
    orders: dict[str, Order] = {}
    place = Partition(topics.holds, 0)
    with closing(log.admin()) as admin, closing(log.reader()) as reader:
        for records in reader.read(place, 0, admin.stable_ends([place]).get(place, 0)):
            for scope, order in filter(None, map(read_order, records)):
                if order is None:
                    orders.pop(scope, None)
                else:
                    orders[scope] = order
    return orders


def plain_order(scope: str, order: Order) -> dict[str, Any]:
    """Return what a person has said as a JSON object."""
    fields = {"allowed": order.allowed, "at": time_text(order.at), "who": order.who, "why": order.why}
    return {"kind": "hold", "scope": scope, "is_held": order.allowed is not None, **fields}


def _say(
    trigger: str | None,
    namespace_of: str | None,
    *,
    is_all: bool,
    allowed: int | None,
    why: str,
    settings: Settings,
    output: Output,
) -> int:
    """Write an order, and show it with what holds its scope besides."""
    if sum((trigger is not None, namespace_of is not None, is_all)) != 1:
        raise UsageError("the scope is not clear", "give one of --trigger NAME, --all-of NAMESPACE and --all")
    scope = ALL if is_all else namespace_of or identity_of(trigger or "", settings)
    with kafka(settings) as (log, topics):
        before = read_orders(log, topics)
        if scope != ALL and scope not in before:
            _check_exists(log, topics, scope)
        order = Order(allowed, wall_clock(), user_and_machine(), why.strip())  # to be shown; Kafka's clock counts
        with closing(log.producer(f"{topics.prefix}hold-{scope}")) as producer:
            producer.init()
            value = ORDER.encode({"allowed": order.allowed, "who": order.who, "why": order.why})
            transact(producer, [(topics.holds, 0, scope.encode(), value, headers_of(value))])
    text = [f"{order_text(scope, order)}. The submitters hear of it within a second or two"]
    if allowed != 0:
        inner = {other for other in before if other != ALL and (scope == ALL or other.startswith(f"{scope}/"))}
        held = sorted(other for other in inner if other != scope and before[other].allowed is not None)
        text += [f"still held: {order_text(other, before[other])}" for other in held]
    output.result(text, plain_order(scope, order))
    return ExitCode.OK


def _check_exists(log: Log, topics: InternalTopics, scope: str) -> None:
    """Refuse a scope that no trigger belongs to. After a typing error, a person would believe that it is held."""
    with closing(Definitions(log, topics.triggers, steady_clock)) as definitions:
        definitions.refresh()
        names = definitions.in_force
        namespaces = {definition.trigger.run.namespace for definition in names.values()}
    if "/" in scope and scope not in names:
        raise UsageError(f"there is no trigger {scope} in force", "flowbridge status lists the triggers")
    if "/" not in scope and scope not in namespaces:
        found = f"no trigger in force has its Workflows in namespace {scope}"
        raise UsageError(found, f"there are triggers for {', '.join(sorted(namespaces)) or 'no namespace'}")
