"""What an event, a window and a run cost, as it was measured: the one table that ``flowbridge size`` counts with.

docs/performance.md shows the same table under "Costs for sizing", and a test compares the two. A measurement that
changes a figure there changes it here.
"""

from __future__ import annotations

from typing import NamedTuple


class Cost(NamedTuple):
    """A measured cost.

    Attributes:
        value: The figure, a median on the machine of docs/performance.md.
        unit: Its unit.
        what: What costs it.
        source: The measurement that it comes from.

    """

    value: float
    unit: str
    what: str
    source: str

    @property
    def row(self) -> str:
        """Return its row in docs/performance.md."""
        return f"| {self.what} | {self.value:g} {self.unit} | {self.source} |"


READ = Cost(
    26, "µs", "router: an event that is read, decoded and filtered out", "Routers and matchers, slower state: rejecting"
)
FILTER = Cost(
    8.8,
    "µs",
    "router: one more `where` that the engine evaluates",
    "Routers and matchers, slower state: one more filter",
)
RUN = Cost(
    51,
    "µs",
    "router: the run of a trigger without a window",
    "Routers and matchers, slower state: mapped, less the first row",
)
ROUTE = Cost(9, "µs", "router: an arrival", "Routers and matchers, slower state: arrivals routed, less the first row")
MATCH = Cost(
    105, "µs", "matcher: an arrival, and its share of a match", "Routers and matchers, slower state: arrivals of a pair"
)
CREATES = Cost(
    144, "/s", "submitter: Workflows that one process creates, 8 at a time", "Routers and matchers, slower state"
)
WAITING = Cost(1_200, "bytes", "memory of an arrival that waits, and its event", "Memory of windows (operations.md)")
SPENT = Cost(800, "bytes", "memory of an identity that is remembered", "Memory of windows (operations.md)")
WAITING_DISK = Cost(300, "bytes", "disk of an arrival that waits, and its event", "Memory of windows (operations.md)")
SPENT_DISK = Cost(200, "bytes", "disk of an identity that is remembered", "Memory of windows (operations.md)")
LEDGER_KEY = Cost(107, "bytes", "memory of a run that has ended", "Further figures: 1,000,000 ledger entries")
PROCESS = Cost(
    108, "MB", "memory of a process with one trigger that does nothing", "Start and idle, with the extensions of CEL"
)
TRIGGER = Cost(0.015, "MB", "memory of one more trigger", "Start and idle")
ARRIVAL_RECORD = Cost(150, "bytes", "record of an arrival, and its event", "the records of a pair of two events")
WAITING_RECORD = Cost(250, "bytes", "record of a waiting arrival in `windows`, and its event", "the same")
SPENT_RECORD = Cost(140, "bytes", "record of a remembered identity in `windows`", "the same")
RUN_RECORD = Cost(400, "bytes", "record of a run with two parameters", "the same")
INTENT_RECORD = Cost(470, "bytes", "entry of a run on its way in `ledger`", "the same")
DONE_RECORD = Cost(380, "bytes", "entry of a run that has ended in `ledger`", "the same")

COSTS = (
    READ,
    FILTER,
    RUN,
    ROUTE,
    MATCH,
    CREATES,
    WAITING,
    SPENT,
    WAITING_DISK,
    SPENT_DISK,
    LEDGER_KEY,
    PROCESS,
    TRIGGER,
    ARRIVAL_RECORD,
    WAITING_RECORD,
    SPENT_RECORD,
    RUN_RECORD,
    INTENT_RECORD,
    DONE_RECORD,
)
"""All of them, in the order of the page."""
