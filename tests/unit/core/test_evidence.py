"""Evidence shows what an expression read, and nothing that its trigger calls sensitive."""

from __future__ import annotations

import pytest

from bridge.core.decision import Decision, Reason
from bridge.core.definition import Definition
from bridge.core.event import Event
from bridge.core.evidence import REDACTED, is_sensitive
from bridge.core.route import route
from bridge.core.trigger import RunPlan, Slot, Trigger


def definition_of(*, where: str | None = None, key: str | None = None, sensitive: tuple[str, ...] = ()) -> Definition:
    slot = Slot("order.created", "order_created", where, key)
    return Definition(Trigger("ml", "ship", (slot,), RunPlan("ship", "ml"), require=1, sensitive=sensitive))


def decided(definition: Definition, **payload: object) -> Decision:
    event = Event("order.created", "shop", "1", 0, 0, None, payload)
    decision = route(definition, definition.slots[0], event)
    assert isinstance(decision, Decision)
    return decision


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
    decision = decided(definition_of(where="int(payload.card) > 3", sensitive=("card",)), card="4111 1111")
    assert decision.evidence["error"] == REDACTED
    assert "4111" not in str(dict(decision.evidence))


def test_an_error_over_the_whole_payload_is_redacted_where_anything_is_sensitive() -> None:
    decision = decided(definition_of(where="int(payload) > 3", sensitive=("card",)), card="4111")
    assert "4111" not in str(dict(decision.evidence))


@pytest.mark.parametrize("path", ["payload.card", "payload.card.number", "payload.card.number.first"])
def test_what_holds_or_lies_in_a_sensitive_field_is_sensitive(path: str) -> None:
    assert is_sensitive(path, ("card.number",))


@pytest.mark.parametrize("path", ["payload.cards", "payload.card.owner", "payload", "event.card.number"])
def test_its_neighbours_are_not(path: str) -> None:
    assert not is_sensitive(path, ("card.number",))


def test_a_key_made_of_a_sensitive_field_is_not_shown() -> None:
    hidden = definition_of(key="payload.card", sensitive=("card",))
    assert hidden.shown_key("4111") == REDACTED
    assert hidden.shown_key("") == ""
    assert definition_of(key="payload.order", sensitive=("card",)).shown_key("o-1") == "o-1"
