"""What a batch sends, and when."""

from __future__ import annotations

import pytest

from bridge.kafka.log import Headers
from bridge.kafka.outbox import RECORD_LIMIT, Discard, Outbox, OversizeError


class Sent:
    """As much of a producer as an outbox asks."""

    def __init__(self) -> None:
        self.records: list[tuple[str, int, bytes | None, bytes | None]] = []

    def send(
        self, topic: str, partition: int, key: bytes | None, value: bytes | None, headers: Headers | None = None
    ) -> None:
        del headers
        self.records.append((topic, partition, key, value))


def test_of_the_records_of_a_state_the_last_of_each_key_is_sent_when_the_batch_is_complete() -> None:
    sent = Sent()
    out = Outbox(sent)  # type: ignore[arg-type]  # what an outbox asks of a producer
    out.send_last("windows", 1, b"a", b"waiting")
    out.send_last("windows", 1, b"b", b"waiting")
    out.send_last("windows", 2, b"a", b"waiting")
    out.send("runs", 0, b"a", b"run")
    out.send_last("windows", 1, b"a", b"spent")
    out.send_last("windows", 1, b"b", None)
    assert sent.records == [("runs", 0, b"a", b"run")]
    out.flush()
    of_windows = [("windows", 1, b"a", b"spent"), ("windows", 1, b"b", None), ("windows", 2, b"a", b"waiting")]
    assert sent.records == [("runs", 0, b"a", b"run"), *of_windows]
    assert (out.sent, out.size) == (6, 3 * len(b"waiting") + len(b"run") + len(b"spent"))
    out.flush()
    assert len(sent.records) == 4


def test_a_record_that_is_too_large_is_refused_when_it_is_given() -> None:
    sent = Sent()
    out = Outbox(sent)  # type: ignore[arg-type]  # what an outbox asks of a producer
    for send in (out.send, out.send_last):
        with pytest.raises(OversizeError, match=f"a record of {RECORD_LIMIT + 1} bytes: the limit is {RECORD_LIMIT}"):
            send("windows", 0, b"a", bytes(RECORD_LIMIT + 1))
    out.flush()
    assert (sent.records, out.sent, out.size) == ([], 0, 0)


def test_a_trial_sends_nothing() -> None:
    out = Discard()
    out.send("runs", 0, b"a", b"run")
    out.send_last("windows", 0, b"a", b"waiting")
    assert (out.sent, out.size) == (0, 0)
