"""Where the bodies of runs lie that wait."""

from __future__ import annotations

import pytest

from bridge.stages.shelf import Shelf


@pytest.mark.parametrize("bound", [0, 25, 1_000])
def test_what_was_laid_down_is_there_once_whatever_the_bound_of_memory(bound: int) -> None:
    shelf = Shelf(bound)
    for number in range(10):
        shelf.put(f"key-{number}", b"old")
        shelf.put(f"key-{number}", b"value-%d" % number)
        assert shelf.in_memory <= bound
    assert [shelf.take(f"key-{number}") for number in range(10)] == [b"value-%d" % number for number in range(10)]
    assert shelf.in_memory == 0
    with pytest.raises(KeyError):
        shelf.take("key-3")


@pytest.mark.parametrize("bound", [0, 1_000])
def test_what_is_let_go_is_gone(bound: int) -> None:
    shelf = Shelf(bound)
    shelf.put("key", b"value")
    shelf.discard("key")
    shelf.discard("never")
    with pytest.raises(KeyError):
        shelf.take("key")
