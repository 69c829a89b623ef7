"""Keys, identities of runs and texts of parameters are as docs/triggers says: random values against a reference."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any
from uuid import UUID

import pytest

from bridge.core.decision import Reason
from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.route import Accepted, route
from bridge.core.runs.parameters import ParameterError, default_parameters
from bridge.core.runs.run import Run
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.core.trigger import RunPlan, Slot, Trigger, WindowPlan
from unit.core.runs.reference_texts import PARAMETER_BYTES, RefusedError, field_of, filled, key_of, parameter_of
from unit.core.seeds import seeded, seeds
from unit.core.stepping import each, trigger_of

TEXTS = (
    "",
    "7",
    "007",
    "true",
    "null",
    "a b",
    "{{workflow.name}}",
    "{ {",
    "ä€😀",
    "\x7f\u2028",
    'q"\\',
    "k" * 1024,
    "k" * 1025,
)


def any_value(chance: random.Random, depth: int = 2) -> Any:
    """Draw a value that a payload may hold."""
    kinds = 13 if depth else 11
    return (
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.choice([0, 7, -7, 2**63 - 1, -(2**63), chance.randrange(10**6)]),
        lambda: chance.choice([0.0, -0.0, 7.0, 1e22, 5e-324, 0.1, chance.uniform(-1e6, 1e6)]),
        lambda: chance.choice(TEXTS),
        lambda: "".join(chance.choices("{}ab7€ ", k=chance.randrange(6))),
        lambda: chance.randbytes(chance.randrange(4)),
        lambda: any_moment(chance),
        lambda: chance.choice([date(2024, 2, 29), time(3, 4), time(3, 4, 5, 6)]),
        lambda: Decimal(chance.randrange(-(10**9), 10**9)).scaleb(chance.randrange(-12, 6)),
        lambda: UUID(int=chance.getrandbits(128)),
        lambda: [any_value(chance, depth - 1) for _ in range(chance.randrange(4))],
        lambda: {chance.choice("abc{") + "{" * chance.randrange(2): any_value(chance, depth - 1) for _ in range(3)},
    )[chance.randrange(kinds)]()


def any_moment(chance: random.Random) -> datetime:
    zone = chance.choice([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-11))])
    moment = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(10**9))
    return (moment + timedelta(microseconds=chance.choice([0, 0, 1, 500_000]))).astimezone(zone)


def event(id_: str, payload: dict[str, Any], name: str = "a") -> Event:
    return Event(name, "shop", id_, 0, 0, None, payload)


@cache
def single(plan: RunPlan, key: str | None = None, parameters: tuple[tuple[str, str], ...] = ()) -> Definition:
    return Definition(Trigger("d", "t", (Slot("a", "a", key=key, parameters=parameters),), plan, 1))


PLAIN = RunPlan("work", "d", (("fixed", '"x"'),))


def is_same(found: str, expected: str, value: Any) -> bool:
    """Tell whether two texts are the same, as JSON where the value is a list or a mapping."""
    if not isinstance(value, list | dict):
        return found == expected
    is_compact = found == json.dumps(json.loads(found), separators=(",", ":"), ensure_ascii=False) or "\\u" in found
    return json.loads(found) == json.loads(expected) and "{{" not in found and is_compact


def test_keys_are_those_that_the_pages_name_and_meet_where_they_say() -> None:
    keyed = single(PLAIN, key="payload.v")
    for seed in seeds(2_000):
        with seeded(seed) as chance:
            value = any_value(chance)
            routed = route(keyed, keyed.slots[0], event("1", {"v": value}))
            expected = key_of(value)
            if expected is None:
                assert not isinstance(routed, Accepted), value
                assert routed.reason is Reason.UNKEYED, value
            else:
                assert routed == Accepted(expected), value


def test_parameters_have_the_texts_that_the_pages_name() -> None:
    for seed in seeds(2_000):
        with seeded(seed) as chance:
            value, allows = any_value(chance), chance.random() < 0.3
            try:
                expected: str | None = parameter_of(value, allows_tags=allows)
            except RefusedError:
                expected = None
            for found in every_way(value, allows=allows):
                assert (found is None) == (expected is None), value
                assert found is None or is_same(found, expected or "", value), (value, found, expected)


def every_way(value: Any, *, allows: bool) -> list[str | None]:
    """Return the text of a value as each kind of mapping makes it; None where it is refused."""
    plans = (
        single(RunPlan("work", "d", allow_template_tags=allows), parameters=(("p", "v"),)),
        single(RunPlan("work", "d", (("p", "a.payload.v"),), allow_template_tags=allows)),
    )
    found = [run_text(definition, value) for definition in plans]
    unmapped = single(RunPlan("work", "d"))
    run = make_run(unmapped, "fb.", "", [[event("1", {"v": value})]], None)
    try:
        found.append(dict(default_parameters(["p", "v"], run.payload or "", allow_template_tags=allows)).get("v"))
    except ParameterError:
        found.append(None)
    return found


def run_text(definition: Definition, value: Any) -> str | None:
    try:
        return dict(make_run(definition, "fb.", "", [[event("1", {"v": value})]], None).parameters or ())["p"]
    except UnrunnableError:
        return None


def test_a_path_names_a_field_or_a_field_of_a_field_and_one_that_is_missing_is_left_out() -> None:
    for seed in seeds(1_000):
        with seeded(seed) as chance:
            names = ["a", "b", "a.b", "a.b.c", "b.c", ""]
            payload = {
                chance.choice(names): chance.choice([None, "x", {"b": {"c": "y"}, "b.c": "z"}]) for _ in range(3)
            }
            path = chance.choice(["a", "a.b", "a.b.c", "b.c", "b"])
            definition = single(RunPlan("work", "d", (("fixed", '"x"'),)), parameters=(("p", path),))
            run = make_run(definition, "fb.", "", [[event("1", payload)]], None)
            found = [text for name, text in run.parameters or () if name == "p"]
            expected = [parameter_of(value) for value in field_of(payload, path)]
            assert [json_or_text(text) for text in found] == [json_or_text(text) for text in expected], (payload, path)


def json_or_text(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


def test_parameters_have_so_many_bytes_together_and_no_more() -> None:
    for seed in seeds(60):
        with seeded(seed) as chance:
            name = chance.choice(["p", "parameter.with-a_long.name"])
            letter = chance.choice(["x", "ä", "😀"])
            room = PARAMETER_BYTES - len(name)
            count = room // len(letter.encode()) + chance.choice([-1, 0, 1])
            definition = single(RunPlan("work", "d", ((name, "a.payload.v"),)))
            match = [[event("1", {"v": letter * count})]]
            if len(letter.encode()) * count <= room:
                assert make_run(definition, "fb.", "", match, None).parameters == ((name, letter * count),)
            else:
                with pytest.raises(UnrunnableError, match="at most 65536 bytes together"):
                    make_run(definition, "fb.", "", match, None)


def test_an_id_is_a_key_and_two_matches_are_one_run_where_their_ids_are() -> None:
    plain = single(replace(PLAIN, id="a.payload.v"))
    framed = Definition(replace(plain.trigger, window=WindowPlan("every", schedule=each(100))))
    for seed in seeds(1_000):
        with seeded(seed) as chance:
            values = [any_value(chance), any_value(chance)]
            definition, frames = (plain, [None, None]) if chance.random() < 0.5 else (framed, [(0, 100), (100, 200)])
            correlation = chance.choice(["", "k"])
            runs = [
                run_or_none(definition, [event(str(number), {"v": value})], frame, correlation)
                for number, (value, frame) in enumerate(zip(values, frames, strict=True))
            ]
            keys = [key_of(value) for value in values]
            assert [run is None for run in runs] == [key is None for key in keys], values
            if runs[0] and runs[1]:
                assert (runs[0].run_key == runs[1].run_key) == (keys[0] == keys[1]), values


def run_or_none(
    definition: Definition, events: list[Event], frame: tuple[int, int] | None, correlation: str
) -> Run | None:
    try:
        return make_run(definition, "fb.", correlation, [events], frame)
    except UnrunnableError:
        return None


def test_a_slot_is_null_an_event_or_a_list_as_require_count_and_collect_say() -> None:
    for seed in seeds(300):
        with seeded(seed) as chance:
            words = [name + chance.choice(["", "", "*2"]) for name in "abc"]
            collects_all = chance.random() < 0.4
            parameters = tuple((f"p{name}{at}", told(f"{name}{at}")) for at, name in enumerate("abc"))
            trigger = trigger_of(
                " ".join(words),
                require=chance.randint(1, 3),
                window=WindowPlan("every", schedule=each(100)),
                collect="all" if collects_all else "latest",
            )
            trigger = replace(trigger, run=replace(trigger.run, parameters=parameters))
            counts = [slot.count for slot in trigger.slots]
            match = [
                [event(f"{name}{number}", {"n": number}, name) for number in range(count)]
                if chance.random() < 0.6
                else []
                for name, count in zip("abc", counts, strict=True)
            ]
            run = make_run(Definition(trigger), "fb.", "", match, (0, 100))
            holds = filled(match, [count > 1 or collects_all for count in counts])
            assert [text for _, text in run.parameters or ()] == list(map(told_of, holds)), words


def told(variable: str) -> str:
    """Return CEL that says what a slot's variable holds."""
    ids = f"dyn({variable}).map(e, e.id)"
    return f'{variable} == null ? "nothing" : type({variable}) == list ? {ids}.join(",") : dyn({variable}).id'


def told_of(held: Any) -> str:
    if held is None:
        return "nothing"
    return (
        ",".join(arrival.id for arrival in held)
        if isinstance(held, Sequence) and not isinstance(held, Event)
        else held.id
    )
