"""The place of a source record as an event's id, and integrations whose framework is not installed."""

from __future__ import annotations

from importlib import import_module

import pytest

from flowbridge_sdk.attributes.places import PlaceIds
from flowbridge_sdk.errors import BadAttributeError, SettingsError


def test_each_record_has_an_id_of_its_own_the_same_in_each_process() -> None:
    read = [("orders", 0, 7), ("orders", 1, 7), ("orders", 0, 8), ("orders.0", 0, 7)]
    ids = [PlaceIds("order.large").take(*place) for place in read]
    assert ids == ["orders/0/7", "orders/1/7", "orders/0/8", "orders.0/0/7"]
    places = PlaceIds("order.large")
    assert [places.take(*place) for place in read] == ids


def test_a_second_event_of_one_record_is_refused() -> None:
    places = PlaceIds("order.large")
    places.take("orders", 0, 7)
    with pytest.raises(BadAttributeError) as refused:
        places.take("orders", 0, 7)
    assert str(refused.value) == (
        "event 'order.large': expected at most one event of each source record; found two of orders/0/7, which would "
        "share the id. Name with `id` what tells them apart"
    )


def test_a_record_that_is_read_again_has_its_id_again() -> None:
    places, first, second = PlaceIds("order.large"), object(), object()
    assert places.take("orders", 0, 7, first) == places.take("orders", 0, 7, second)
    with pytest.raises(BadAttributeError):
        places.take("orders", 0, 7, second)


@pytest.mark.parametrize("extra", ["flink", "quix", "bytewax"])
def test_a_missing_framework_is_named_with_its_extra(extra: str) -> None:
    with pytest.raises(SettingsError, match=rf"needs more packages.*pip install 'flowbridge-sdk\[{extra}\]'"):
        import_module(f"flowbridge_sdk.{extra}")
