"""Evidence shows what an expression read, and nothing that is sensitive; errors of a run quote nothing sensitive."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.evidence import REDACTED, is_sensitive
from bridge.core.route import route
from bridge.core.runs.run_of_match import UnrunnableError, make_run
from bridge.core.trigger import RunPlan, Slot, Trigger


def definition_of(*, where: str | None = None, key: str | None = None, sensitive: tuple[str, ...] = ()) -> Definition:
    slot = Slot("order.created", "order_created", where, key)
    return Definition(Trigger("ml", "ship", (slot,), RunPlan("ship", "ml"), require=1, sensitive=sensitive))


def decided(definition: Definition, **payload: object) -> Decision:
    decision = route(definition, definition.slots[0], order(**payload))
    assert isinstance(decision, Decision)
    return decision


def order(**payload: object) -> Event:
    return Event("order.created", "shop", "1", 0, 0, None, payload)


def refusal(expression: str, of: str, **payload: object) -> str:
    """Return why there is no run, for a trigger with an expression in its run, which calls ``card`` sensitive."""
    parameters = (("x", expression),) if of == "parameter" else (("x", "1"),)
    plan = RunPlan("ship", "ml", parameters, id=expression if of == "run.id" else None)
    trigger = Trigger("ml", "ship", (Slot("order.created", "order"),), plan, require=1, sensitive=("card",))
    with pytest.raises(UnrunnableError) as refused:
        make_run(Definition(trigger), "fb.", "", [[order(**payload)]])
    return refused.value.redacted_text(trigger.sensitive)


def test_a_filtered_event_shows_the_expression_and_the_values_that_it_read() -> None:
    where = 'payload.rows > 10 && payload.customer.country == "nz" && event.source == "shop"'
    decision = decided(definition_of(where=where), rows=3, customer={"country": "de"}, other="x")
    assert decision.reason is Reason.FILTERED
    assert dict(decision.evidence) == {
        "where": where,
        "payload.rows": "3",
        "payload.customer.country": '"de"',
        "event.source": '"shop"',
    }


def test_a_field_that_is_not_there_is_no_value_and_the_error_says_so() -> None:
    decision = decided(definition_of(where="payload.rows > 10"), other=1)
    assert dict(decision.evidence) == {
        "where": "payload.rows > 10",
        "error": "payload.rows: there is no such field",
    }


def test_a_long_value_is_shown_in_part() -> None:
    decision = decided(definition_of(where='payload.text == ""'), text="x" * 5_000)
    assert len(decision.evidence["payload.text"]) < 300


def test_a_sensitive_field_is_redacted_wherever_it_is_read() -> None:
    where = 'payload.card.number == "1" && payload.rows > 3'
    decision = decided(definition_of(where=where, sensitive=("card",)), card={"number": "4111"}, rows=9)
    assert decision.evidence["payload.card.number"] == REDACTED
    assert decision.evidence["payload.rows"] == "9"
    assert "4111" not in str(dict(decision.evidence))


def test_an_error_that_may_quote_a_sensitive_value_is_redacted() -> None:
    decision = decided(definition_of(where='{"a": true}[payload.card]', sensitive=("card",)), card="4111 1111")
    assert decision.evidence["error"] == REDACTED
    assert "4111" not in str(dict(decision.evidence))


def test_an_error_over_the_whole_payload_is_redacted_where_anything_is_sensitive() -> None:
    decision = decided(definition_of(where="int(payload) > 3", sensitive=("card",)), card="4111")
    assert "4111" not in str(dict(decision.evidence))


@pytest.mark.parametrize("path", ["payload", "payload.card", "payload.card.number", "payload.card.number.first"])
def test_what_holds_or_lies_in_a_sensitive_field_is_sensitive(path: str) -> None:
    assert is_sensitive(path, ("card.number",))


@pytest.mark.parametrize("path", ["payload.cards", "payload.card.owner", "event.card.number"])
def test_its_neighbours_are_not(path: str) -> None:
    assert not is_sensitive(path, ("card.number",))


def test_a_key_made_of_a_sensitive_field_is_not_shown() -> None:
    hidden = definition_of(key="payload.card", sensitive=("card",))
    assert hidden.redacted_key("4111") == REDACTED
    assert hidden.redacted_key("") == ""
    assert definition_of(key="payload.order", sensitive=("card",)).redacted_key("o-1") == "o-1"


@pytest.mark.parametrize(
    "expression",
    [
        "duration(order.payload.card)",
        '{"a": 1}[order.payload.card]',
        "order.payload.map(n, duration(order.payload[n]))",
    ],
)
@pytest.mark.parametrize("of", ["parameter", "run.id"])
def test_an_error_of_a_run_that_may_quote_a_sensitive_value_is_redacted(expression: str, of: str) -> None:
    text = refusal(expression, of, card="4111 1111")
    assert text.endswith(f"({expression}): {REDACTED}")


def test_an_error_of_a_run_that_reads_nothing_sensitive_is_shown() -> None:
    text = refusal('{"a": 1}[order.payload.wait]', "parameter", wait="long", card="4111 1111")
    assert "long" in text


@pytest.mark.parametrize("value", [0.4111, [4111], {"4111": 1}, 4111**700])
def test_an_error_about_a_run_id_quotes_no_value(value: object) -> None:
    assert "4111" not in refusal("order.payload.rows", "run.id", rows=value)


@pytest.mark.parametrize("value", [float("nan"), datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=5))), "4111 {{x}}"])
def test_an_error_about_a_mapped_field_quotes_no_value(value: object) -> None:
    slot = Slot("order.created", "order", parameters=(("card", "card"),))
    definition = Definition(Trigger("ml", "ship", (slot,), RunPlan("ship", "ml"), require=1))
    with pytest.raises(UnrunnableError) as refused:
        make_run(definition, "fb.", "", [[order(card=value)]])
    assert str(refused.value).startswith("parameter 'card': ")
    assert not any(part in str(refused.value) for part in ("nan", "0001", "4111"))
