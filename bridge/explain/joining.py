"""Join what is recorded about an event with what the rules say.

A recorded decision stands, and the rules say in more detail why it was made. A recomputed decision fills the place
where none is recorded. An event without any decision has a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import EventIdentity, Micros, time_text
from bridge.core.windows.window import Arrival, Spent
from bridge.explain.live_records import (
    LiveRecords,
    MadeDecision,
    letter_reason,
)
from bridge.explain.question_reader import Reading
from bridge.explain.sentences import About, event_sentence
from bridge.explain.story import (
    NOT_APPLIED,
    NOT_BEGUN,
    NOT_IN_FORCE,
    NOT_READ,
    UNKNOWN,
    Knowledge,
    Told,
)
from bridge.explain.tracing import (
    Traced,
    told,
)
from bridge.kafka.log import Partition
from bridge.replay.history import History
from bridge.replay.past import PastDecision
from bridge.stages.shared.dead_letters import UNKNOWN_SCHEMA
from bridge.stages.shared.definitions import Start
from bridge.triggers.topic_mapping import slot_topic


def joined(
    starts: Mapping[str, Start],
    event: Traced,
    history: History,
    then: Definition,
    live: LiveRecords,
    names: dict[tuple[str, EventIdentity], str],
    reading: Reading,
) -> list[Told]:
    """Return the decisions about an event at each slot: those that are recorded, and else those of the rules."""
    by_slot: dict[str, list[PastDecision]] = {}
    for made in event.decisions:
        by_slot.setdefault(made.decision.slot, []).append(made)
    recorded_at = [
        slot for slot, identity in (*live.decisions, *live.held, *live.unapplied, *names) if identity == event.identity
    ]
    topics = {place.topic for place in event.places}
    read_at = [
        slot.slot.variable
        for slot in then.slots
        if slot_topic(slot.slot) in topics and (not slot.slot.shared_topic or slot.slot.event == event.identity.name)
    ]
    joined: list[Told] = []
    for slot in dict.fromkeys((*read_at, *by_slot, *recorded_at)):
        run = names.get((slot, event.identity), "")
        decisions = _at_slot(event, history, then, slot, by_slot.get(slot, ()), live, run)
        is_unapplied = (slot, event.identity) in live.unapplied
        state = _state_of(starts, event, then, slot, reading, is_unapplied=is_unapplied)
        is_recomputed = all(made.known == "recomputed" for made in decisions)
        if not decisions or (state.reason in (NOT_BEGUN, NOT_APPLIED) and is_recomputed):
            decisions = [state]
        joined += decisions
    return joined


def _state_of(
    starts: Mapping[str, Start],
    event: Traced,
    then: Definition,
    slot: str,
    reading: Reading,
    *,
    is_unapplied: bool = False,
) -> Told:
    """Return why nothing was decided about an event at a slot; ``is_unapplied``: it waits for a matcher."""
    place = event.places[0]
    partition = Partition(place.topic, place.partition)
    evidence: dict[str, str] = {}
    start = starts.get(place.topic)
    begun_at = start.offsets[place.partition] if start and place.partition < len(start.offsets) else 0
    if place.offset >= reading.frozen.routed.get(partition, 0):
        behind = reading.frozen.reads[partition].end - reading.frozen.routed.get(partition, 0)
        state, evidence = NOT_READ, {"behind": str(behind)}
    elif place.offset < begun_at:
        state, evidence = NOT_BEGUN, {"offset": str(begun_at)}
    elif is_unapplied:
        state = NOT_APPLIED
    elif event.is_out_of_force:
        state = NOT_IN_FORCE
    else:
        state = UNKNOWN
    text = event_sentence(state, About(then.trigger, slot, evidence))
    known: Knowledge = "recomputed" if state in (UNKNOWN, NOT_IN_FORCE) else "recorded"
    return Told(slot, state, "", known, text, evidence)


def _at_slot(
    event: Traced,
    history: History,
    then: Definition,
    slot: str,
    computed: Sequence[PastDecision],
    live: LiveRecords,
    run: str,
) -> list[Told]:
    recomputed = [told(then, made.decision, made.at, "recomputed", run) for made in computed]
    recorded = [
        told(then, made.decision, made.at, "recorded", run) for made in _recorded(event, history, then, slot, live, run)
    ]
    for decision in recorded:  # the record says that it was so; the rules say in more detail why
        alike = next((other for other in recomputed if other.reason == decision.reason), None)
        if alike is not None:
            decision.fields, decision.parts = alike.fields, alike.parts
            if not decision.evidence:
                decision.evidence, decision.text = alike.evidence, alike.text
            decision.at = decision.at or alike.at
    if not recorded:
        return recomputed
    reasons = {decision.reason for decision in recorded}
    others = [other for other in recomputed if other.reason not in reasons]
    again = [other for other in others if other.reason == Reason.DUPLICATE.value]
    key = (slot, event.identity)
    final = [
        decision
        for decision in recorded
        if decision.reason != Reason.WAITING.value and "sent_back" not in decision.evidence
    ]
    if key in live.unapplied or Reason.OVER_BOUND.value in reasons or len(final) >= len(event.places):
        again = []  # it is not remembered, not applied again yet, or each of its records is decided
    is_over = any(decision.reason != Reason.DUPLICATE.value for decision in final)
    if is_over or any(isinstance(held, Arrival) for held in live.held.get(key, ())):
        return _in_order([*recorded, *again])
    joined = _in_order([*recorded, *others])
    if reasons == {Reason.WAITING.value} and len(joined) == len(
        recorded
    ):  # it has left its window, and nothing says how
        text = event_sentence(UNKNOWN, About(then.trigger, slot, {}))
        joined.append(Told(slot, UNKNOWN, "", "recomputed", text))
    return joined


def _in_order(decisions: list[Told]) -> list[Told]:
    """Return decisions by time; those without one keep their place at the end."""
    return sorted(decisions, key=lambda decision: (decision.at or "~", decision.reason != Reason.WAITING.value))


def _recorded(
    event: Traced, history: History, then: Definition, slot: str, live: LiveRecords, run: str
) -> list[MadeDecision]:
    """Return the decisions about an event at a slot that the live bridge recorded somewhere."""
    key = (slot, event.identity)
    made = list(live.decisions.get(key, ()))
    known = {decision.decision.reason for decision in made}

    def add(reason: Reason, at: Micros | None, evidence: dict[str, str]) -> None:
        if reason not in known:
            known.add(reason)
            decision = Decision(reason, then.identity, slot, event.identity, "", evidence)
            made.append(MadeDecision(decision, at))

    for held in live.held.get(key, ()):
        if isinstance(held, Spent):
            add(held.fate, None, {})
        else:
            add(Reason.WAITING, held.reached, {})
    if run:
        used_by = [used for used in live.runs_of(event.identity) if used.workflow == run and used.facts is not None]
        replay = used_by[0].facts.replay if used_by and used_by[0].facts is not None else ""
        add(Reason.MATCHED, None, {"replay": replay} if replay else {})
    letters = [letter for place in event.places for letter in live.letters.get(place, ())]
    for letter in (*letters, *live.event_letters.get(key, ())):
        if letter.is_of_all and history.at(letter.at) is None:  # of the triggers that were in force then
            continue
        reason = letter_reason(letter)
        if letter.reason == UNKNOWN_SCHEMA:
            state = {"waits_for": "schema"} if letter.sent_back is None else {"sent_back": time_text(letter.sent_back)}
            made = [other for other in made if other.decision.reason is not Reason.UNDECODABLE]
            decision = Decision(
                Reason.UNDECODABLE, then.identity, slot, event.identity, "", {"error": letter.text} | state
            )
            made.append(MadeDecision(decision, letter.at))
            known.add(Reason.UNDECODABLE)
        elif reason is not None:
            add(reason, letter.at, {"error": letter.text})
    return made
