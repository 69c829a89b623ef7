"""The librdkafka properties of our clients: who wins, and what latency rests on."""

from __future__ import annotations

from bridge.kafka.confluent.properties import producer_properties


def test_what_a_user_sets_wins_over_what_is_chosen_and_loses_against_what_the_stages_rest_on() -> None:
    given = {"linger.ms": "50", "retry.backoff.ms": "70", "transactional.id": "mine"}
    properties = producer_properties(given, "bridge.router-1", 10_000)
    assert properties["linger.ms"] == "50"
    assert properties["retry.backoff.ms"] == "70"
    assert properties["transactional.id"] == "bridge.router-1"


def test_a_transaction_is_tried_again_soon_while_the_markers_of_the_one_before_are_written() -> None:
    """By its default the client waits for 100 ms, and nearly every transaction in a row would."""
    assert producer_properties({}, "bridge.router-1", 10_000)["retry.backoff.ms"] == "2"
