"""Stories as lines for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from bridge.explain.story import EventStory, RunStory, Story, Told, WindowStory

_NARROW, _WIDE = 60, 120
_CLOSE = timedelta(seconds=1)  # between the time of an event and that of its record; every publisher needs some time
_MARK = {True: "true ", False: "FALSE", None: "none "}


def event_lines(event: EventStory, said: Collection[str] = ()) -> Iterator[str]:
    """Yield an event and the decisions about it; what is ``said`` already is not said again."""
    beside = "" if event.is_asked else "   (same key)"
    yield f"event {event.name} {event.id} of {event.source}{beside}"
    apart = datetime.fromisoformat(event.reached) - datetime.fromisoformat(event.time)
    happened = "" if abs(apart) < _CLOSE else f", happened {event.time}"
    more = len(event.places) - 1
    again = "" if not more else f", and {more} more record{'' if more == 1 else 's'}"
    yield f"  reached Kafka {event.reached}{happened}   {event.places[0]}{again}"
    for decision in event.decisions:
        is_said = event.is_asked and any(sentence.endswith(decision.text) for sentence in said)
        yield from decision_lines(decision, with_text=not is_said)


def decision_lines(decision: Told, *, with_head: bool = True, with_text: bool = True) -> Iterator[str]:
    """Yield a decision: when, at which slot and how (the head), and what it means (the text)."""
    if with_head:
        key = f"   key {decision.key}" if decision.key else ""
        known = "" if decision.known == "recorded" else "   (recomputed)"
        yield f"  {decision.at or ' ' * 24}  {decision.slot:<16} {decision.reason}{key}{known}"
    if with_text:
        yield from wrapped(decision.text, 6)
    for name in ("where", "key"):
        if name in decision.evidence and (decision.fields or decision.parts):
            yield from wrapped(f"{name}: {decision.evidence[name]}", 6)
    for part in decision.parts:
        rest = part.hint or part.error
        yield from wrapped(f"{_MARK[part.value]} {part.source}{f'   <- {rest}' if rest else ''}", 8, hanging=6)
    width = max((len(field.path) for field in decision.fields), default=0)
    for field in decision.fields:
        value = f"{field.value}  ({field.type})" if field.type else "(the event has no such field)"
        yield f"        {field.path:<{width}}  {value}"


def window_lines(window: WindowStory, said: Collection[str] = ()) -> Iterator[str]:
    """Yield an open window as a bar of its slots, with what waits in it."""
    bar = "".join("#" if number < window.filled else "." for number in range(window.required))
    known = "" if window.known == "recorded" else "   (recomputed)"
    yield f"window [{bar}] {window.filled} of {window.required}{f'   key {window.key}' if window.key else ''}{known}"
    if not any(sentence.endswith(window.text) for sentence in said):
        yield from wrapped(window.text, 2)
    for waiting in window.waiting:
        shown = ", ".join(waiting.events[:3])
        more = f" and {len(waiting.events) - 3} more" if len(waiting.events) > 3 else ""  # noqa: PLR2004
        yield f"    {waiting.slot:<16} {shown}{more}"


def run_lines(run: RunStory, said: Collection[str] = ()) -> Iterator[str]:
    """Yield a run: its life, its events and its parameters."""
    known = "" if run.known == "recorded" else "   (recomputed)"
    replay = f"   by replay {run.replay}" if run.replay else ""
    yield f"run {run.workflow or '(none)'}{f'   key {run.key}' if run.key else ''}{replay}{known}"
    if not any(sentence.endswith(run.text) for sentence in said):
        yield from wrapped(run.text, 2)
    for moment in run.moments:
        yield from wrapped(f"{moment.at}  {moment.text}", 4, hanging=26)
    if run.events:
        shown = [f"{event['slot']} {event['id']}" for event in run.events]
        more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""  # noqa: PLR2004
        yield from wrapped(f"events      {', '.join(shown[:6])}{more}", 4, hanging=12)
    for number, parameter in enumerate(run.parameters):
        head = "parameters  " if number == 0 else " " * 12
        value = f"{parameter.name} = {parameter.value}   <- " if parameter.value or parameter.name[0] != "(" else ""
        yield from wrapped(f"{head}{value}{parameter.origin}", 4, hanging=14)


def story_lines(story: Story) -> Iterator[str]:
    """Yield a whole story: the answer first."""
    yield from wrapped(story.trigger.text, 0)
    for sentence in story.answer:
        yield from wrapped(sentence, 0)
    for note in story.notes:
        yield from wrapped(f"note: {note}", 2, hanging=6)
    if story.decisions:
        decided = ", ".join(f"{count} {reason}" for reason, count in sorted(story.decisions.items()))
        records = "1 record" if story.records == 1 else f"{story.records} records"
        text = f"{records} read, {story.begin} to {story.end}; recomputed decisions: {decided}"
        yield from wrapped(text, 2, hanging=2)
    for event in story.events:
        yield ""
        yield from event_lines(event, story.answer)
    if story.unshown:
        yield ""
        yield f"… and {story.unshown} more events (--limit)"
    for window in story.windows:
        yield ""
        yield from window_lines(window, story.answer)
    for run in story.runs:
        yield ""
        yield from run_lines(run, story.answer)


def wrapped(text: str, indent: int, *, hanging: int = 0) -> Iterator[str]:
    """Yield a text in lines of the terminal's width."""
    width = min(max(shutil.get_terminal_size().columns, _NARROW), _WIDE)
    for line in text.splitlines() or [""]:
        yield from textwrap.wrap(
            line,
            width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + hanging),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
