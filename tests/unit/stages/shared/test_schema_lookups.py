"""Schemas of a registry are asked for aside: only the partitions that need one wait, whatever the registry does."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from bridge.stages.shared.schema_lookups import QUEUE_LIMIT, SchemaAwaitedError, SchemaId, SchemaLookups
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.errors import RegistryUnavailableError, SchemaError, UnknownSchemaIdError
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import GENERIC, EventSchema, EventSchemas
from unit.sdk.registry_server import FakeRegistry, serving
from unit.stages.world import World, one_slot

TOPIC = "order.created"
TEXT = json.dumps({"type": "record", "name": "order", "fields": [{"name": "order", "type": "string"}]})
SCHEMA = EventSchema.parse(TOPIC, TEXT, "order.created.avsc")


def wait_for(is_so: Callable[[], object], what: str, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


class Scripted:
    """A registry that answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SchemaId] = []
        self.answer: Callable[[SchemaId], EventSchema] = lambda _: GENERIC
        self.go_on = threading.Event()
        self.go_on.set()

    def schema(self, schema_id: SchemaId) -> EventSchema:
        """Answer."""
        self.asked.append(schema_id)
        assert self.go_on.wait(10)
        return self.answer(schema_id)


@pytest.fixture
def registry() -> Scripted:
    return Scripted()


@pytest.fixture
def lookups(registry: Scripted) -> Iterator[SchemaLookups]:
    made = SchemaLookups(registry)
    yield made
    registry.go_on.set()
    made.close()


def outcome(lookups: SchemaLookups, schema_id: SchemaId) -> EventSchema | Exception:
    try:
        return lookups.schema(schema_id)
    except (UnknownSchemaIdError, RegistryUnavailableError, SchemaError) as error:
        return error


def is_settled(lookups: SchemaLookups, schema_id: SchemaId) -> bool:
    return not isinstance(outcome(lookups, schema_id), SchemaAwaitedError)


def refuse(error: Exception) -> Callable[[SchemaId], EventSchema]:
    def answer(_: SchemaId) -> EventSchema:
        raise error

    return answer


def test_nothing_waits_for_an_answer_and_each_id_is_asked_for_once(lookups: SchemaLookups, registry: Scripted) -> None:
    registry.go_on.clear()
    for _ in range(3):
        with pytest.raises(SchemaAwaitedError) as awaited:
            lookups.schema(7)
        assert not awaited.value.permanent
        lookups.ask(TOPIC, awaited.value.schema_id)
    registry.go_on.set()
    wait_for(lambda: is_settled(lookups, 7), "the schema")
    assert lookups.schema(7) is GENERIC
    lookups.ask(TOPIC, 7)
    assert registry.asked == [7]


@pytest.mark.parametrize("error", [UnknownSchemaIdError("7"), SchemaError("registry", "is of type JSON")])
def test_what_the_registry_does_not_know_is_remembered_for_a_while(registry: Scripted, error: Exception) -> None:
    ahead = 0.0
    lookups = SchemaLookups(registry, lambda: time.monotonic() + ahead)
    registry.answer = refuse(error)
    lookups.ask(TOPIC, 7)
    wait_for(lambda: is_settled(lookups, 7), "the answer")
    assert outcome(lookups, 7) is error
    registry.answer = lambda _: GENERIC
    ahead = 29.0
    assert outcome(lookups, 7) is error
    ahead = 31.0
    assert not is_settled(lookups, 7)
    lookups.ask(TOPIC, 7)
    wait_for(lambda: outcome(lookups, 7) is GENERIC, "the schema that was registered meanwhile")
    lookups.close()


def test_a_schema_that_breaks_its_reader_is_no_schema(lookups: SchemaLookups, registry: Scripted) -> None:
    registry.answer = refuse(RecursionError("too deep"))
    lookups.ask(TOPIC, 7)
    wait_for(lambda: is_settled(lookups, 7), "the answer")
    assert isinstance(outcome(lookups, 7), SchemaError)
    registry.answer = lambda _: GENERIC
    lookups.ask(TOPIC, 8)
    wait_for(lambda: is_settled(lookups, 8), "the worker to go on")


def test_a_topic_full_of_unknown_ids_delays_no_other_topic(lookups: SchemaLookups, registry: Scripted) -> None:
    registry.go_on.clear()
    for number in range(1_000):
        lookups.ask("hostile", number)
    wait_for(lambda: len(registry.asked) == 2, "both workers to ask")
    lookups.ask("decent", "guid")
    registry.go_on.set()
    wait_for(lambda: is_settled(lookups, "guid"), "the decent topic's schema")
    assert registry.asked.index("guid") <= 4
    wait_for(lambda: is_settled(lookups, QUEUE_LIMIT - 1), "the others")
    assert len(registry.asked) <= QUEUE_LIMIT + 1
    assert not is_settled(lookups, 999)  # it is asked for again once there is room


def test_no_more_than_a_hundred_ids_a_second_are_asked_for(lookups: SchemaLookups, registry: Scripted) -> None:
    began = time.monotonic()
    for number in range(50):
        lookups.ask(TOPIC, number)
    wait_for(lambda: all(is_settled(lookups, number) for number in range(50)), "all schemas")
    assert time.monotonic() - began >= 0.48
    assert sorted(registry.asked, key=int) == list(range(50))


def test_a_registry_that_is_away_is_asked_ever_more_slowly_and_all_ids_once_it_answers(
    registry: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    ahead = 0.0
    lookups = SchemaLookups(registry, lambda: time.monotonic() + ahead)
    registry.answer = refuse(RegistryUnavailableError("the schema registry does not answer"))
    for number in range(20):
        lookups.ask(f"topic{number}", number)
    wait_for(lambda: "does not answer" in caplog.text, "three failures")
    assert len(registry.asked) <= 4  # the fourth was asked before the third had failed
    with pytest.raises(SchemaAwaitedError, match="does not answer") as awaited:
        lookups.schema(19)
    assert awaited.value.pause == 2.0
    for _ in range(4):  # each time the breaker lets one question through
        before = len(registry.asked)
        ahead += 31.0
        for number in range(20):
            lookups.ask(f"topic{number}", number)
        wait_for(lambda: len(registry.asked) > before, "another question")  # noqa: B023 - called in this round only
        wait_for(lambda: not lookups._asking, "its answer")
        assert len(registry.asked) == before + 1
    registry.answer = lambda _: GENERIC
    ahead += 31.0
    for number in range(20):
        lookups.ask(f"topic{number}", number)
    wait_for(lambda: all(is_settled(lookups, number) for number in range(20)), "all schemas")
    assert "answers again" in caplog.text
    lookups.close()


def test_one_id_that_fails_opens_no_circuit_for_others(lookups: SchemaLookups, registry: Scripted) -> None:
    def answer(schema_id: SchemaId) -> EventSchema:
        if schema_id == 13:
            raise RegistryUnavailableError("the schema registry refused: 500")
        return GENERIC

    registry.answer = answer
    lookups.ask(TOPIC, 13)
    for number in range(20, 60):
        lookups.ask(TOPIC, number)
    wait_for(lambda: all(is_settled(lookups, number) for number in range(20, 60)), "the others")
    assert not is_settled(lookups, 13)
    assert registry.asked.count(13) <= 2


# -- stages and a registry over HTTP -----------------------------------------------------------------------------------


class Bed:
    """A bridge with a schema registry."""

    def __init__(self, server: FakeRegistry) -> None:
        self.server = server
        self.world = World(one_slot())
        self.lookups = SchemaLookups(Registry(server.url, config={"timeout": 1, "max.retries": 0}))
        self.world.lookups = self.lookups
        registry: object = self.lookups
        self.world.decoder = lambda: Decoder(EventSchemas.of(()), registry)  # type: ignore[arg-type]  # it answers alike
        self.world.start()
        self.world.run(3)

    def framed(self, order: str, schema_id: int, partition: int = 0) -> None:
        """Publish an event in a registry's framing."""
        body = bytearray(b"\x00" + schema_id.to_bytes(4, "big"))
        SCHEMA.write(body, {"order": order}, 0)
        self.world.broker.append(TOPIC, partition, None, bytes(body))

    def orders(self) -> list[str]:
        return sorted(workflow["order"] for workflow in self.world.workflows())

    def until(self, is_so: Callable[[], object], what: str) -> None:
        def run() -> object:
            self.world.run(0.5)
            return is_so()

        wait_for(run, what, 20)


@pytest.fixture
def bed() -> Iterator[Bed]:
    with serving() as server:
        made = Bed(server)
        yield made
        server.answers.set()
        made.lookups.close()


def test_a_registry_that_hangs_holds_the_partition_that_needs_it_and_no_step_takes_long(bed: Bed) -> None:
    number = bed.server.register(f"{TOPIC}-value", {"schema": TEXT})
    bed.server.answers.clear()
    bed.framed("held", number)
    bed.world.publish(TOPIC, {"order": "behind"}, partition=0)
    bed.world.publish(TOPIC, {"order": "elsewhere"}, partition=1)
    began = time.monotonic()
    bed.world.run(5)
    assert time.monotonic() - began < 1
    assert bed.orders() == ["elsewhere"]
    assert bed.world.committed("router", TOPIC, 0) == 0
    bed.server.answers.set()
    bed.until(lambda: bed.orders() == ["behind", "elsewhere", "held"], "the held partition")
    assert bed.world.letters() == []


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_registry_that_answers_with_an_error_of_its_own_loses_nothing(bed: Bed, status: int) -> None:
    number = bed.server.register(f"{TOPIC}-value", {"schema": TEXT})
    bed.server.broken = status
    bed.framed("held", number)
    bed.world.publish(TOPIC, {"order": "elsewhere"}, partition=1)
    bed.until(lambda: bed.server.requests >= 2, "the registry to be asked")
    assert bed.orders() == ["elsewhere"]
    bed.server.broken = 0
    bed.until(lambda: bed.orders() == ["elsewhere", "held"], "the held event")
    assert bed.world.letters() == []


def test_ids_that_the_registry_does_not_know_are_dead_letters_and_stall_nobody(bed: Bed) -> None:
    for schema_id in range(1_000, 1_200):
        bed.framed("unknown", schema_id)
    bed.world.publish(TOPIC, {"order": "elsewhere"}, partition=1)
    began = time.monotonic()
    bed.world.run(1)
    assert time.monotonic() - began < 0.5
    assert bed.orders() == ["elsewhere"]
    bed.world.publish(TOPIC, {"order": "behind"}, partition=0)
    bed.until(lambda: bed.orders() == ["behind", "elsewhere"], "the event behind them")
    assert len(bed.world.letters()) == 200
    assert "the schema registry does not know it" in bed.world.letters()[0]["text"]
    assert bed.server.requests <= 210
