"""What librdkafka's errors mean to the port: one table, used by every client."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from confluent_kafka import KafkaError, KafkaException

from bridge.kafka.log import AbortableError, FencedError, LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_FENCED = frozenset(
    {
        KafkaError._FATAL,  # noqa: SLF001 - librdkafka's own codes are spelt with an underscore
        KafkaError._FENCED,  # noqa: SLF001 - librdkafka's own codes are spelt with an underscore
        KafkaError.PRODUCER_FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.FENCED_INSTANCE_ID,
        KafkaError.TRANSACTION_COORDINATOR_FENCED,
    }
)
_REFUSED = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD})


def error_of(exception: KafkaException) -> KafkaError:
    """Return the error that an exception of confluent-kafka carries."""
    error = exception.args[0]
    return error if isinstance(error, KafkaError) else KafkaError(KafkaError._FAIL, str(exception))  # noqa: SLF001 - as above


def meaning(error: KafkaError) -> LogError:
    """Return the port's error for one of librdkafka's."""
    text = f"{error.str()} ({error.name()})"
    if error.fatal() or error.code() in _FENCED:
        return FencedError(text)
    if error.txn_requires_abort() or error.code() in _REFUSED:
        return AbortableError(text)
    return LogError(text)


@contextmanager
def port_errors() -> Iterator[None]:
    """Raise the port's error where confluent-kafka raises its own: another error would stop the whole process.

    It raises RuntimeError where librdkafka has nothing to give, as the group's metadata once another member has taken
    the place of this one.
    """
    try:
        yield
    except KafkaException as exception:
        raise meaning(error_of(exception)) from exception
    except RuntimeError as error:
        raise LogError(str(error)) from error


def patiently(call: Callable[[float], T], clock: Callable[[], float], seconds: float) -> T:
    """Return ``call(timeout)``, again and again while its error is retriable, for at most ``seconds``.

    Raises:
        LogError: What the last error means.

    """
    deadline = clock() + seconds
    while True:
        left = max(deadline - clock(), 0.1)
        try:
            return call(left)
        except KafkaException as exception:
            error = error_of(exception)
            if not error.retriable() or clock() >= deadline:
                raise meaning(error) from exception
