"""Ten thousand hostile requests to a gateway on real Kafka: no 5xx, no crash, no growth, and nothing stray in Kafka."""

from __future__ import annotations

import json
import re
import socket
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.headers import read_headers
from integration.gateway_process import GatewayProcess, records_of, topics_of
from servers.loopback import HOST
from servers.process import wait_for

if TYPE_CHECKING:
    from servers.choice import AnyKafka

REQUESTS = 10_000
_A_ROUND = 50
_WARM = 2_000
_GROWTH = 24 << 20  # bytes; ten thousand requests that left 10 KB each behind would be four times that
_TOKEN = "the-only-token-there-is"
_PATHS = (
    "/metaflow-event",
    "/cloudevents",
    "/readyz",
    "/",
    "/metaflow-event/",
    "//metaflow-event",
    "/%6detaflow-event",
)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class Complete(NamedTuple):
    """A request that is well-formed HTTP, whatever it holds."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    body: bytes


class Raw(NamedTuple):
    """Bytes, sent as they are; the client then closes its side."""

    sent: bytes


class Target(NamedTuple):
    """A gateway, the one topic that it may write, and what was counted of its answers."""

    gateway: GatewayProcess
    bootstrap: str
    topic: str
    statuses: dict[int, int]


leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.sampled_from(["{{workflow.name}}", "$(id)", "\x00", "\ud800", "__proto__", "x" * 3_000])
)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
names = st.sampled_from(
    ["TOPIC", "TOPIC", "other", "flowbridge.arrivals", "__consumer_offsets", "", "a/b", "é", "x" * 300, 7, None]
)
fields = st.fixed_dictionaries({}, optional={"name": names, "id": values, "timestamp": values, "x": values})
attributes = st.fixed_dictionaries(
    {},
    optional={
        "specversion": st.sampled_from(["1.0", "1.0", "0.3", 1]),
        "id": st.text(max_size=9) | values,
        "source": st.text(max_size=9) | values,
        "type": names,
        "time": st.sampled_from(["2026-01-31T12:00:00Z", "noon", "9999-12-31T23:59:59-14:00", 5]),
        "data": fields | values,
        "partitionkey": values,
        "extra": values,
        "data_base64": values,
    },
)
posted = (
    st.fixed_dictionaries({}, optional={"name": names, "payload": fields | values, "more": values})
    | attributes
    | values
)
nested = st.integers(1, 5_000).map(
    lambda depth: b'{"name": "TOPIC", "payload": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
)
bodies = posted.map(lambda value: json.dumps(value).encode()) | nested | st.binary(max_size=200)
header_values = st.binary(max_size=40).map(lambda text: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", text).strip())
headers = st.fixed_dictionaries(
    {},
    optional={
        b"content-type": st.sampled_from([b"application/cloudevents+json", b"application/json", b"text/xml", b""]),
        b"ce-specversion": st.sampled_from([b"1.0", b"2"]),
        b"ce-id": header_values,
        b"ce-source": header_values,
        b"ce-type": st.sampled_from([b"TOPIC", b"other", b"%00", b"\xff"]),
        b"ce-time": header_values,
        b"ce-x-y": header_values,
        b"authorization": header_values,
        b"connection": st.sampled_from([b"upgrade", b"close"]),
        b"upgrade": st.sampled_from([b"websocket", b"h2c"]),
        b"expect": st.sampled_from([b"100-continue", b"x"]),
    },
)
complete = st.builds(
    Complete,
    st.sampled_from(["POST"] * 8 + ["GET", "PUT", "HEAD", "OPTIONS", "DELETE"]),
    st.sampled_from(_PATHS[:2] * 4 + _PATHS[2:]),
    headers,
    bodies,
)
valid = (
    b"POST /metaflow-event HTTP/1.1\r\nhost: x\r\nauthorization: Bearer TOKEN\r\ncontent-length: 17\r\n\r\n"
    b'{"name": "other"}'
)


@st.composite
def raw(draw: st.DrawFn) -> Raw:
    """Cut, repeat or fill a request whose event has no topic, so that it can never be published."""
    kind = draw(st.sampled_from(["cut", "noise", "inside", "many", "chunked"]))
    if kind == "cut":
        return Raw(valid[: draw(st.integers(0, len(valid) - 1))])
    if kind == "noise":
        return Raw(draw(st.binary(max_size=300)))
    if kind == "many":
        return Raw(valid * draw(st.integers(2, 60)))
    if kind == "chunked":
        head = b"POST /cloudevents HTTP/1.1\r\ntransfer-encoding: chunked\r\nauthorization: Bearer TOKEN\r\n\r\n"
        return Raw(
            head
            + draw(st.sampled_from([b"5\r\nab", b"fffffffff\r\n", b"-1\r\n", b"0\r\n\r\n", b"1;x=" + b"y" * 40_000]))
        )
    place = draw(st.integers(0, len(valid)))
    return Raw(valid[:place] + draw(st.binary(min_size=1, max_size=40)) + valid[place:])


@pytest.fixture(scope="module")
def target(kafka: AnyKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """A gateway with one token, that makes no topics."""
    folder: Path = tmp_path_factory.mktemp("hostile")
    topic = f"hostile.{uuid.uuid4().hex[:8]}"
    with GatewayProcess(kafka.bootstrap, folder / "making.log") as making:
        assert httpx.post(making.url(), json={"name": topic, "payload": {"first": True}}).status_code == 200
    (folder / "tokens.yaml").write_text(f"tokens: [{{name: all, token: {_TOKEN}, events: ['*']}}]")
    refusing = {"FLOWBRIDGE_GATEWAY_NEW_NAMES": "refuse", "FLOWBRIDGE_GATEWAY_TOKENS": str(folder / "tokens.yaml")}
    with GatewayProcess(kafka.bootstrap, folder / "gateway.log", refusing) as gateway:
        yield Target(gateway, kafka.bootstrap, topic, {})


def test_ten_thousand_hostile_requests_do_no_harm(target: Target) -> None:
    topics = topics_of(target.bootstrap)
    sizes: list[int] = []

    @settings(
        max_examples=REQUESTS // _A_ROUND,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(st.lists(st.one_of(complete, complete, complete, raw()), min_size=_A_ROUND, max_size=_A_ROUND))
    def attack(requests: list[Complete | Raw]) -> None:
        for request in requests:
            _send(target, request)
        if sum(target.statuses.values()) >= _WARM:
            sizes.append(target.gateway.resident_bytes())

    attack()
    assert sum(target.statuses.values()) >= REQUESTS
    assert set(target.statuses) <= {0, 200, 400, 401, 403, 404, 405, 413, 415}, target.statuses
    assert target.gateway.running
    assert target.gateway.status("/readyz") == 200
    wait_for(lambda: target.gateway.metric("flowbridge_gateway_held") == 0, 10, "places to be given back")
    assert max(sizes[-5:]) - sizes[0] < _GROWTH
    assert "bug" not in target.gateway.text()
    assert _TOKEN not in target.gateway.text()
    assert topics_of(target.bootstrap) == topics
    _check_records(target)


def _check_records(target: Target) -> None:
    """What is in Kafka is what was answered 200 (and the first), and a router can read all of it."""
    records: list[Any] = records_of(target.bootstrap, target.topic)
    assert len(records) == 1 + target.statuses.get(200, 0)
    for record in records:
        assert read_headers(record.headers(), target.topic, 0, 0, 0).name == target.topic
        Decoder().decode(target.topic, record.value(), None)


def _send(target: Target, request: Complete | Raw) -> None:
    with socket.create_connection((HOST, target.gateway.port), timeout=10) as connection:
        answer = b""
        with suppress(ConnectionError):
            if isinstance(request, Raw):
                connection.sendall(request.sent.replace(b"TOKEN", _TOKEN.encode()))
                connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65_536):
                    answer += chunk
            else:
                connection.sendall(_bytes(target, request))
                while not _is_whole(answer, request.method):
                    chunk = connection.recv(65_536)
                    if not chunk:
                        break
                    answer += chunk
    found = [int(status) for status in _STATUS.findall(answer) if status != b"100"]
    status = 0 if not found else max(found) if isinstance(request, Raw) else found[0]
    if isinstance(request, Raw):
        assert status != 200 or b"success" not in answer, "an event without a topic was published"
        status = 0 if status == 200 else status
    elif status == 200 and b"success" not in answer:
        status = 0  # a page, not an event
    target.statuses[status] = target.statuses.get(status, 0) + 1


def _is_whole(answer: bytes, method: str) -> bool:
    head = re.search(rb"HTTP/1\.1 [2-5]\d\d .*?\r\n\r\n", answer, re.DOTALL)
    if head is None:
        return False
    size = re.search(rb"content-length: (\d+)\r\n", head[0])
    return method == "HEAD" or size is None or len(answer) >= head.end() + int(size[1])


def _bytes(target: Target, request: Complete) -> bytes:
    topic = target.topic.encode()
    body = request.body.replace(b"TOPIC", topic)
    given = {b"authorization": b"Bearer " + _TOKEN.encode(), b"host": b"x", **request.headers}
    lines = [name + b": " + value.replace(b"TOPIC", topic) for name, value in given.items()]
    head = b"\r\n".join([f"{request.method} {request.path} HTTP/1.1".encode(), *lines])
    return head + b"\r\ncontent-length: %d\r\n\r\n" % len(body) + body
