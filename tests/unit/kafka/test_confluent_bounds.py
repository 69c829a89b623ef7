"""The promises of the bound on calls of librdkafka."""

import threading

import pytest

from bridge.kafka.confluent.producer import StuckError, within
from bridge.kafka.log import FencedError


def test_a_call_that_comes_back_was_done() -> None:
    done: list[int] = []
    within(30.0, lambda: done.append(1))
    assert done == [1]


def test_what_a_call_raises_is_raised() -> None:
    def fail() -> None:
        raise FencedError("by another")

    with pytest.raises(FencedError, match="by another"):
        within(30.0, fail)


def test_a_call_that_never_comes_back_is_left_behind() -> None:
    end = threading.Event()

    def wait() -> None:
        end.wait()

    with pytest.raises(StuckError, match=r"within 0\.05 s"):
        within(0.05, wait)
    end.set()
