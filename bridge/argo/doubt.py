"""The conclusions about a run after an attempt on it.

A create that gets no usable answer leaves its run *in doubt*: the API server may have applied it, or may still apply it
within its own limit for a request. A finished Workflow may be deleted after its *lifetime*. So nothing under a run's
name proves that nothing was made only while two things hold:

- the last look that proves absence (or the first create) is less than one lifetime ago, so that a Workflow of an
  earlier create would still be there, and
- the last create is older than the server's limit, so that none is applied any more.

A look that meets both *voids* the doubt: the run is as if it was never sent. A look that meets only the first moves the
doubt forward: looks that follow each other within one lifetime miss nothing, however short a lifetime is. If the first
does not hold any more, a Workflow may have come and gone. The run is then a dead letter and is never created again.

A run in doubt is created again under its name only while this create, applied as late as the server may, still meets a
Workflow of the earlier creates, and only soon after the last of them (:meth:`Doubt.may_create`). Later a look costs
less than another doubt, and voids this one. An outage of any length then never outlives a lifetime.

The verdict on an attempt (:func:`conclude`), first row that fits:

==================  =================  ====================  ====  =================================================
the create          doubt before       a look finds          late  verdict
==================  =================  ====================  ====  =================================================
made it             any                any                   any   DONE
any                 any                ours                  any   DONE
unknown             any                any                   any   IN_DOUBT
vanished            none               any                   any   IN_DOUBT
vanished            any other          any                   any   LOST: what vanished may have been this run's
not applied         any                any                   any   TRY_AGAIN (a doubt stays as it is)
any other           open               any                   any   IN_DOUBT
any other           settled, outlived  not taken, no answer  any   IN_DOUBT
any other           outlived           foreign or absent     any   LOST
refused for now     none, settled      foreign or absent     any   PARK
refused             none, settled      foreign or absent     any   REFUSE
not sent            none, settled      foreign or absent     yes   SKIP
not sent            none, settled      foreign or absent     no    CREATE
==================  =================  ====================  ====  =================================================

Without a doubt before, the last four rows need no look.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from bridge.argo.create_attempt import NameOwner
from bridge.core.event import Micros


class Sent(StrEnum):
    """The result of an attempt's create."""

    NOTHING = "not sent"
    MADE = "made it"
    UNKNOWN = "unknown"
    VANISHED = "vanished"
    NOT_APPLIED = "not applied"
    REFUSED_FOR_NOW = "refused for now"
    REFUSED = "refused"


class Age(StrEnum):
    """How much a look can prove about the creates before it."""

    NONE = "none"
    """The run is not in doubt."""
    OPEN = "open"
    """One may still be applied, or the lifetime of its Workflow is not known."""
    SETTLED = "settled"
    """None is applied any more, and a Workflow of any of them would still be there."""
    OUTLIVED = "outlived"
    """A Workflow of one of them may have come and gone."""


class Verdict(StrEnum):
    """The verdict on the run."""

    DONE = "done"
    IN_DOUBT = "in doubt"
    TRY_AGAIN = "try again"
    LOST = "lost"
    PARK = "park"
    REFUSE = "refuse"
    SKIP = "skip"
    CREATE = "create"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Creates of a run that may have been applied; times in microseconds since the epoch.

    Attributes:
        absent_until: Up to this time there was surely no Workflow of the run.
        last_sent: When the last of the creates had been sent.
        lifetime: How long a finished Workflow of the run lives at least; None before its WorkflowTemplate is read.

    """

    absent_until: Micros
    last_sent: Micros
    lifetime: Micros | None = None

    def may_create(self, now: Micros, limit: Micros) -> bool:
        """Return True if a create may be sent now without a look.

        The create then cannot follow a Workflow that has come and gone, and a look could not void the doubt yet.

        Args:
            now: The time.
            limit: How long after it was sent a create may be applied.

        """
        if self.lifetime is None or now >= self.last_sent + limit:
            return False
        return now + limit < self.absent_until + self.lifetime

    def age(self, began: Micros, ended: Micros, limit: Micros) -> Age:
        """Return how much a look proves that was asked at ``began`` and answered at ``ended``."""
        if self.lifetime is None:
            return Age.OPEN
        if ended >= self.absent_until + self.lifetime:
            return Age.OUTLIVED
        return Age.SETTLED if began >= self.last_sent + limit else Age.OPEN

    def seen_absent(self, began: Micros) -> Doubt:
        """Return the doubt after a look, asked at ``began``, that found no Workflow of the run and is not outlived."""
        return self if self.lifetime is None else replace(self, absent_until=max(began, self.absent_until))

    def sent_again(self, sent: Micros) -> Doubt:
        """Return the doubt after another create without a usable answer."""
        return replace(self, last_sent=max(sent, self.last_sent))


def conclude(sent: Sent, age: Age, found: NameOwner | None, *, is_late: bool) -> Verdict:
    """Return the verdict on a run (the table above).

    Args:
        sent: The result of this attempt's create.
        age: How much a look proves about the creates of earlier attempts.
        found: The owner of the name that the look found; None without a look.
        is_late: The run's deadline to start has passed.

    """
    if sent is Sent.MADE or found is NameOwner.OURS:
        return Verdict.DONE
    if sent is Sent.UNKNOWN:
        return Verdict.IN_DOUBT
    if sent is Sent.VANISHED:
        return Verdict.IN_DOUBT if age is Age.NONE else Verdict.LOST
    if sent is Sent.NOT_APPLIED:
        return Verdict.TRY_AGAIN
    if age is not Age.NONE:
        if age is Age.OPEN or found in (None, NameOwner.UNAVAILABLE):
            return Verdict.IN_DOUBT
        if age is Age.OUTLIVED:
            return Verdict.LOST
    if sent is Sent.NOTHING:
        return Verdict.SKIP if is_late else Verdict.CREATE
    return Verdict.PARK if sent is Sent.REFUSED_FOR_NOW else Verdict.REFUSE
