"""What people hold: runs that wait until a person releases them, as rules over orders.

An *order* is the latest thing that a person has said about a *scope*: all runs, those whose Workflows go to one
namespace, or those of one trigger. It holds the scope, releases it, or releases a number of runs and holds the others.

A run is covered by up to three orders. One that holds has effect until a later order releases a part of its scope: with
everything held at 1:00 and ``team/ship`` released at 1:10, the runs of ``team/ship`` start and no others do. If
everything is held again at 1:20, they wait, too. An order for a wide scope does not lift one for a narrow scope: a
trigger that is held stays held when all are released.

The time of an order is that at which Kafka appended it. So the clocks of the people's machines do not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge.core.event import SECOND, Micros, time_text

ALL = "*"
"""The scope of all runs. Others are the name of a namespace, and ``namespace/name`` of a trigger."""


CLOCKS_APART: Micros = 5 * SECOND
"""How far the clock of a process may be behind Kafka's, for a restart to count all starts since an order."""


class Order(NamedTuple):
    """What a person has said about a scope.

    Attributes:
        allowed: How many runs may start from ``at`` on; 0 holds all, None releases all.
        at: When Kafka appended it, in microseconds since the epoch.
        who: The person, as USER@MACHINE.
        why: The reason that was given; empty for none.

    """

    allowed: int | None
    at: Micros
    who: str
    why: str


class Hold(NamedTuple):
    """A hold that has effect.

    Attributes:
        scope: What is held.
        order: The order that holds it.

    """

    scope: str
    order: Order


def hold_on(orders: Mapping[str, Order], trigger: str, namespace: str) -> Hold | None:
    """Return the hold that is in effect for the runs of a trigger: of several the narrowest that lets none start.

    Args:
        orders: The orders, by scope.
        trigger: ``namespace/name`` of the trigger.
        namespace: Where its Workflows go.

    """
    said_later: Micros = -(2**62)  # when something was last said about a part of the scope
    in_part: Hold | None = None
    for scope in (trigger, namespace, ALL):
        order = orders.get(scope)
        if order is None:
            continue
        if order.allowed is not None and order.at > said_later:
            if not order.allowed:
                return Hold(scope, order)
            in_part = in_part or Hold(scope, order)
        said_later = max(said_later, order.at)
    return in_part


def order_text(scope: str, order: Order) -> str:
    """Return a line about what a person has said."""
    what = f"all but {order.allowed} runs" if order.allowed else "the runs"
    where = f"of {scope}" if "/" in scope else "of all triggers" if scope == ALL else f"in namespace {scope}"
    said = "are released" if order.allowed is None else "are held"
    reason = f": {order.why}" if order.why else ""
    return f"{what} {where} {said} since {time_text(order.at)} by {order.who}{reason}"


def storm_lifted(orders: Mapping[str, Order], trigger: str) -> Micros:
    """Return when a person last released runs of this very trigger, which ends a storm; 0 for never."""
    order = orders.get(trigger)
    return order.at if order is not None and order.allowed != 0 else 0
