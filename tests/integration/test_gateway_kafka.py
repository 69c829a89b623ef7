"""The gateway on real Kafka: Metaflow's own client publishes to it, and what it was answered 200 for is there."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from metaflow.plugins.argo.argo_events import ArgoEvent

from bridge.gateway.incoming import SOURCE
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import EventHead, read_headers
from integration.gateway_process import GatewayProcess, records_of, topics_of
from servers.kafka import KafkaServer
from servers.process import wait_for

if TYPE_CHECKING:
    from servers.choice import AnyKafka

CLIENTS = 200
AWAY_SECONDS = 30.0
_EVERY = 0.2  # seconds between two publishes: 40 s in all, most of them while Kafka is away


def events_of(bootstrap: str, topic: str) -> list[tuple[EventHead, dict[str, Any]]]:
    """Return the events of a topic, read as the router does."""
    found = []
    for record in records_of(bootstrap, topic):
        value = record.value()
        head = read_headers(record.headers(), topic, 0, 0, 0)  # type: ignore[arg-type] # its stubs allow more
        found.append((head, Decoder().decode(topic, value, None)))
    return found


@pytest.fixture
def topic() -> str:
    return f"gateway.{uuid.uuid4().hex[:8]}"


@pytest.fixture
def gateway(kafka: AnyKafka, tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(kafka.bootstrap, tmp_path / "gateway.log") as process:
        yield process


def test_what_argo_event_publishes_is_an_event_that_a_router_reads(
    gateway: GatewayProcess, kafka: AnyKafka, topic: str
) -> None:
    before = time.time()
    client = ArgoEvent(topic, url=gateway.url(), payload={"table": "sales"})
    published = client.add_to_payload("rows", 3).publish({"nested": {"a": [1, 2.5, None]}}, ignore_errors=False)
    ((head, payload),) = events_of(kafka.bootstrap, topic)
    assert head[:3] == (topic, published, SOURCE)
    assert int(before) * 1_000_000 <= head.time_us <= time.time() * 1_000_000
    assert {**payload, "utc_date": ""} == {
        "name": topic,
        "id": published,
        "timestamp": head.time_us // 1_000_000,
        "utc_date": "",
        "generated-by-metaflow": True,
        "table": "sales",
        "rows": "3",
        "nested": {"a": [1, 2.5, None]},
    }
    assert gateway.metric('flowbridge_gateway_requests_total{outcome="published"}') == 1.0


def test_a_cloudevent_arrives_under_its_own_source(gateway: GatewayProcess, kafka: AnyKafka, topic: str) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/shop", "ce-type": topic, "ce-partitionkey": "c-7"}
    assert httpx.post(gateway.url("/cloudevents"), json={"order_id": "o-1"}, headers=headers).status_code == 200
    (record,) = records_of(kafka.bootstrap, topic)
    assert record.key() == b"c-7"
    ((head, payload),) = events_of(kafka.bootstrap, topic)
    assert (head.source, head.id, payload) == ("/shop", "1", {"order_id": "o-1"})


def test_a_name_that_kafka_takes_for_that_of_another_topic_is_refused(
    gateway: GatewayProcess, kafka: AnyKafka, topic: str
) -> None:
    assert httpx.post(gateway.url(), json={"name": topic}).status_code == 200
    alike = topic.replace(".", "_")
    refused = httpx.post(gateway.url(), json={"name": alike})
    assert (refused.status_code, f"could not tell it from '{topic}'" in refused.text) == (404, True)
    assert alike not in topics_of(kafka.bootstrap)


def test_tokens_are_rotated_without_a_restart(kafka: AnyKafka, topic: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    old, new = uuid.uuid4().hex, uuid.uuid4().hex

    def write(token: str) -> None:
        (tmp_path / "new").write_text(f"tokens: [{{name: flows, token: {token}, events: ['{topic}*']}}]")
        (tmp_path / "new").rename(tokens)

    write(old)
    with GatewayProcess(
        kafka.bootstrap, tmp_path / "gateway.log", {"FLOWBRIDGE_GATEWAY_TOKENS": str(tokens)}
    ) as gateway:

        def publish(token: str, name: str = topic) -> int:
            headers = {"authorization": f"Bearer {token}"}
            return httpx.post(gateway.url(), json={"name": name}, headers=headers).status_code

        assert (publish(old), publish(new), publish(old, "other")) == (200, 401, 403)
        assert ArgoEvent(topic, url=gateway.url(), access_token=old).publish(ignore_errors=False)
        write(new)
        wait_for(lambda: publish(new) == 200, 10, "the new token to be taken")
        assert publish(old) == 401
        assert old not in gateway.text()
        assert new not in gateway.text()
    assert "other" not in topics_of(kafka.bootstrap)


@pytest.mark.servers
def test_a_full_queue_is_unready_and_ready_again_when_kafka_is_back(topic: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(
        "tokens:\n"
        "  - {name: first, token: the-first-publishers-token, events: ['*']}\n"
        "  - {name: second, token: the-second-publishers-token, events: ['*']}\n"
    )
    settings = {"FLOWBRIDGE_GATEWAY_HELD": "5", "FLOWBRIDGE_GATEWAY_TOKENS": str(tokens)}
    with KafkaServer() as kafka, GatewayProcess(kafka.bootstrap, tmp_path / "gateway.log", settings) as gateway:

        def publish(number: int, publisher: str) -> int:
            body = {"name": topic, "payload": {"id": str(number)}}
            headers = {"authorization": f"Bearer the-{publisher}-publishers-token"}
            return httpx.post(gateway.url(), json=body, headers=headers, timeout=60).status_code

        assert publish(100, "first") == 200
        kafka.pause()
        with ThreadPoolExecutor(8) as clients:
            held = [clients.submit(publish, number, "first") for number in range(6)]
            wait_for(lambda: gateway.metric("flowbridge_gateway_held") == 4, 10, "the first to have its part")
            assert gateway.status("/readyz") == 200
            held += [clients.submit(publish, number, "second") for number in range(6, 8)]
            wait_for(lambda: gateway.status("/readyz") == 503, 10, "the gateway to be full")
            assert gateway.status("/livez", console=True) == 200
            kafka.resume()
            assert [request.result() for request in held] == [200] * 8
        wait_for(lambda: gateway.status("/readyz") == 200, 10, "the gateway to be ready again")
        assert len(events_of(kafka.bootstrap, topic)) == 9


@pytest.mark.servers
def test_a_stop_of_the_gateway_while_kafka_is_away_finishes_what_is_held(topic: str, tmp_path: Path) -> None:
    gateway = GatewayProcess((kafka := KafkaServer()).bootstrap, tmp_path / "gateway.log")
    with kafka, ThreadPoolExecutor(10) as clients:
        with gateway:
            assert httpx.post(gateway.url(), json={"name": topic}).status_code == 200
            kafka.stop()
            bodies = [{"name": topic, "payload": {"id": str(number)}} for number in range(10)]
            held = [clients.submit(httpx.post, gateway.url(), json=body, timeout=60) for body in bodies]
            wait_for(lambda: gateway.metric("flowbridge_gateway_held") == 10, 10, "all to be held")
            returning = threading.Timer(8.0, kafka.start)
            returning.start()
        returning.join()
        assert [request.result().status_code for request in held] == [200] * 10
        counts = Counter(head.id for head, _ in events_of(kafka.bootstrap, topic))
        assert [counts[str(number)] for number in range(10)] == [1] * 10


@pytest.mark.servers
def test_kafka_away_for_half_a_minute_costs_metaflows_clients_nothing(topic: str, tmp_path: Path) -> None:
    with KafkaServer() as kafka, GatewayProcess(kafka.bootstrap, tmp_path / "gateway.log") as gateway:
        assert ArgoEvent(topic, url=gateway.url()).publish(ignore_errors=False)
        began = time.monotonic()
        published: list[str] = []

        def publish(number: int) -> None:
            time.sleep(max(0.0, began + number * _EVERY - time.monotonic()))
            event = ArgoEvent(topic, url=gateway.url(), payload={"number": number})
            published.append(event.publish(ignore_errors=False))

        with ThreadPoolExecutor(CLIENTS) as clients:
            publishing = [clients.submit(publish, number) for number in range(CLIENTS)]
            wait_for(lambda: len(published) >= CLIENTS // 20, 30, "the first to be published")
            kafka.stop()
            away = time.monotonic()
            wait_for(lambda: time.monotonic() - away >= AWAY_SECONDS, AWAY_SECONDS + 5, "the outage to be over")
            assert gateway.status("/readyz", console=True) == 200
            kafka.start()
            for request in publishing:
                request.result()
        events = events_of(kafka.bootstrap, topic)
        assert len(published) == CLIENTS
        counts = Counter(head.id for head, payload in events if "number" in payload)
        assert counts == Counter(published)  # none lost, none doubled
        assert {payload["number"] for _, payload in events if "number" in payload} == set(range(CLIENTS))
