"""The promises of the gateway: 200 only for what is safe, held while Kafka is away, and never more than it can hold."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from bridge.core.spans import Span
from bridge.gateway.event_topics import TopicRules
from bridge.gateway.gateway import BODY_LIMIT, SMALL_BODY, Bounds
from bridge.kafka.log import LogError, TopicSpec
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from unit.gateway.house import CLOUDEVENTS, House, creating, metaflow_body, new_topic, run, until

TOKENS = """\
tokens:
  - {name: team-a, token: aaaaaaaaaaaaaaaa, events: ["order.*", payment.done]}
  - {name: team-b, token: bbbbbbbbbbbbbbbb, events: ["*"]}
"""


def test_it_answers_as_argo_events_does() -> None:
    async def work() -> None:
        house = House()
        assert (await house.post(metaflow_body("a"))).text == "success"
        wrong = await house.post(b"", method="GET")
        assert (wrong.status_code, "http method does not match" in wrong.text) == (400, True)
        assert (await house.post(b" " * (BODY_LIMIT + 1))).status_code == 400
        assert (await house.post(b"{}", path="/other")).status_code == 404
        health = await house.post(b"", path="/health", method="GET")
        assert (health.status_code, health.text) == (200, "OK")
        assert (await house.post(b"", path="/livez", method="GET")).status_code == 200
        assert house.counted("published") == 1

    run(work)


@pytest.mark.parametrize("path", ["/metaflow-event", CLOUDEVENTS])
def test_the_trace_context_of_a_request_is_that_of_its_event(path: str) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "a", "data": {}, "name": "a", "payload": {}}
    event = {name: event[name] for name in event if (name in ("name", "payload")) is (path != CLOUDEVENTS)}

    async def work() -> None:
        house = House()
        for given in (trace, "malformed", ""):
            headers = {"content-type": "application/cloudevents+json", **({"traceparent": given} if given else {})}
            assert (await house.post(event, headers, path)).status_code == 200
        contexts = [dict(recorded.headers).get("traceparent") for recorded in house.log.events["a"]]
        assert contexts == [trace.encode(), None, None]

    run(work)


def test_a_traced_request_has_a_span_once_its_event_is_safe_and_the_event_its_context() -> None:
    sampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    spans: list[Span] = []

    async def work() -> None:
        house = House(Bounds(hold=1), spans=spans)
        for context in (sampled[:-1] + "0", "none", sampled):
            assert spans == []
            assert (await house.post(metaflow_body("a"), {"traceparent": context})).status_code == 200
        house.log.go_away()
        assert (await house.post(metaflow_body("a"), {"traceparent": sampled})).status_code == 500
        (span,) = spans
        contexts = [dict(recorded.headers).get("traceparent") for recorded in house.log.events["a"]]
        assert contexts == [sampled[:-1].encode() + b"0", None, span.context.encode()]
        assert (span.name, span.parent, span.is_publication) == ("publish a", sampled, True)
        assert 0 < span.start <= span.end

    run(work)


def test_requests_are_held_while_kafka_is_away_and_it_stays_ready() -> None:
    async def work() -> None:
        house = House()
        await house.post(metaflow_body("a"))
        house.log.go_away()
        held = [asyncio.create_task(house.post(metaflow_body("a", number=number))) for number in range(20)]
        await until(lambda: house.log.waiting == 20)
        assert await house.ready() == 200
        assert house.metrics.registry.get_sample_value("flowbridge_gateway_held") == 20
        house.log.come_back()
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
        assert sorted(payload.get("number", -1) for _, payload in house.events("a")) == list(range(-1, 20))

    run(work)


@pytest.mark.parametrize(("path", "status"), [("/metaflow-event", 500), (CLOUDEVENTS, 503)])
def test_what_cannot_be_recorded_in_time_is_said(path: str, status: int) -> None:
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "a", **metaflow_body("a"), "name": "a"}
    event.pop("name" if path == CLOUDEVENTS else "type")
    event.pop("payload" if path == CLOUDEVENTS else "source")

    async def work() -> None:
        house = House(Bounds(hold=0.05))
        house.broker.create(TopicSpec("a", 1))
        house.log.go_away()
        answer = await house.post(event, {"content-type": "application/cloudevents+json"}, path)
        assert (answer.status_code, answer.text) == (status, "failed to record event")
        assert house.counted("not-recorded") == 1

    run(work)


def test_a_full_queue_is_unready_and_who_comes_then_waits_for_a_place() -> None:
    async def work() -> None:
        house = House(Bounds(held=3))
        await house.post(metaflow_body("a"))
        house.log.go_away()
        held = [asyncio.create_task(house.post(metaflow_body("a"))) for _ in range(3)]
        await until(lambda: house.log.waiting == 3)
        assert await house.ready() == 503
        late = asyncio.create_task(house.post(metaflow_body("a", late=True)))
        await asyncio.sleep(0)
        house.log.come_back()
        assert {answer.status_code for answer in await asyncio.gather(*held, late)} == {200}
        assert await house.ready() == 200
        assert len(house.log.events["a"]) == 5

    run(work)


def test_who_finds_no_place_in_time_is_told_and_takes_none() -> None:
    async def work() -> None:
        house = House(Bounds(hold=0.2, held=1))
        await house.post(metaflow_body("a"))
        house.log.go_away()
        first = asyncio.create_task(house.post(metaflow_body("a")))
        await until(lambda: house.log.waiting == 1)
        assert (await house.post(metaflow_body("a"))).status_code == 500
        assert (await first).status_code == 500
        house.log.come_back()
        assert await house.ready() == 200
        assert (await house.post(metaflow_body("a"))).status_code == 200

    run(work)


def test_bodies_have_so_much_room_and_no_more() -> None:
    async def work() -> None:
        house = House(Bounds(hold=0.2, body_bytes=BODY_LIMIT))
        begun = {"type": "http.request", "body": b" " * (SMALL_BODY + 1), "more_body": True}
        endless = asyncio.create_task(_ask(house, [(b"content-length", b"%d" % BODY_LIMIT)], [dict(begun)]))
        await until(lambda: not house.gateway.is_ready)
        end = {"type": "http.request", "body": b"", "more_body": False}
        sent = await _ask(house, [(b"content-length", b"%d" % BODY_LIMIT)], [dict(begun), end])
        assert sent[0]["status"] == 500
        assert (await house.post(metaflow_body("a"))).status_code == 200  # a small one needs no capacity
        endless.cancel()
        await asyncio.gather(endless, return_exceptions=True)
        assert (await house.post(metaflow_body("a", more="x" * 2 * SMALL_BODY))).status_code == 200

    run(work)


def test_one_publisher_takes_no_more_than_its_part_and_leaves_the_gateway_ready() -> None:
    async def work() -> None:
        house = House(Bounds(hold=10, held=8))
        assert (await house.post(metaflow_body("a"))).status_code == 200
        house.log.go_away()
        greedy = [asyncio.create_task(house.post(metaflow_body("a"), client=("10.0.0.1", 1))) for _ in range(20)]
        await until(lambda: house.log.waiting == 6)
        assert await house.ready() == 200
        other = asyncio.create_task(house.post(metaflow_body("a"), client=("10.0.0.2", 1)))
        await until(lambda: house.log.waiting == 7)
        house.log.come_back()
        assert {answer.status_code for answer in await asyncio.gather(*greedy, other)} == {200}

    run(work)


def test_names_without_a_topic_take_no_place_from_those_that_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> dict[str, int]:
        raise LogError("no broker answers")

    async def work() -> None:
        house = House(Bounds(hold=5, held=4))
        assert (await house.post(metaflow_body("a"))).status_code == 200
        monkeypatch.setattr(house.gateway.topics._admin, "topics", away)
        unknown = [
            asyncio.create_task(house.post(metaflow_body(f"new-{number}"), client=(f"10.0.0.{number}", 1)))
            for number in range(20)
        ]
        await until(lambda: house.gateway._lookups.is_full)
        assert await house.ready() == 200
        assert (await house.post(metaflow_body("a"))).status_code == 200
        for request in unknown:
            request.cancel()
        await asyncio.gather(*unknown, return_exceptions=True)

    run(work)


def test_of_an_event_that_is_held_only_its_record_stays_in_memory() -> None:
    async def work() -> None:
        house = House()
        assert (await house.post(metaflow_body("a"))).status_code == 200
        house.log.go_away()
        # As JSON 0.8 MB, as values of Python more than 12 MB.
        body = json.dumps(metaflow_body("a", numbers=[[] for _ in range(200_000)])).encode()
        sent = [{"type": "http.request", "body": body, "more_body": False}]
        tracemalloc.start()
        try:
            held = asyncio.create_task(_ask(house, [(b"content-length", b"%d" % len(body))], sent))
            await until(lambda: house.log.waiting == 1)
            now, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert now < 3 << 20
        house.log.come_back()
        await held

    run(work)


def test_a_body_that_grows_beyond_its_bound_is_refused_where_it_does() -> None:
    async def work() -> None:
        house = House()
        chunks = [{"type": "http.request", "body": b" " * 600_000, "more_body": True} for _ in range(9)]
        sent = await _ask(house, [], chunks)
        assert sent[0]["status"] == 400
        assert len(chunks) == 7  # it took two and read no further

    run(work)


def test_a_client_that_goes_in_the_middle_is_counted_and_gives_its_room_back() -> None:
    async def work() -> None:
        house = House()
        assert await _ask(house, [], [{"type": "http.disconnect"}]) == []
        assert house.counted("disconnected") == 1
        assert await house.ready() == 200

    run(work)


async def _ask(house: House, headers: list[tuple[bytes, bytes]], messages: list[Any] | None = None) -> list[Message]:
    """Speak ASGI; without ``messages`` the body never comes."""
    sent: list[Message] = []

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "path": "/metaflow-event", "method": "POST", "headers": headers}
    await house.gateway(scope, receive, send)
    return sent


def test_a_token_publishes_its_events_and_no_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(TOKENS)

    async def work() -> None:
        house = House(tokens=file)
        for header, status, text in (
            (None, 401, "Invalid Authorization Header"),
            ("Basic aaaaaaaaaaaaaaaa", 401, "Invalid Authorization Header"),
            ("Bearer cccccccccccccccc", 401, "Invalid Auth token"),
            ("Bearer ", 401, "Invalid Auth token"),
            ("Bearer aaaaaaaaaaaaaaaa", 200, "success"),
        ):
            answer = await house.post(metaflow_body("order.created"), {"authorization": header} if header else None)
            assert (answer.status_code, answer.text) == (status, text)
        unauthorized = await house.post(b"")
        assert unauthorized.headers["www-authenticate"] == "Bearer"
        mine = {"authorization": "bearer aaaaaaaaaaaaaaaa"}
        assert (await house.post(metaflow_body("payment.done"), mine)).status_code == 200
        assert (await house.post(metaflow_body("payment.done.too"), mine)).status_code == 403
        assert (await house.post(metaflow_body("order.x", name="user.deleted"), mine)).status_code == 403
        assert set(house.log.events) == {"order.created", "payment.done"}
        assert "aaaaaaaa" not in caplog.text
        assert "cccccccc" not in caplog.text

    run(work)


@pytest.mark.parametrize("name", ["flowbridge.arrivals", "flowbridge.", "__consumer_offsets", "__x"])
def test_nobody_reaches_the_topics_of_the_bridge_or_of_kafka(name: str) -> None:
    async def work() -> None:
        house = House()
        house.broker.create(TopicSpec(name, 1))
        assert (await house.post(metaflow_body(name))).status_code == 404
        assert not house.log.events

    run(work)


def test_new_names_are_refused_where_the_setting_says_so() -> None:
    async def work() -> None:
        house = House(rules=TopicRules("flowbridge."))
        house.broker.create(TopicSpec("known", 1))
        assert (await house.post(metaflow_body("known"))).status_code == 200
        answer = await house.post(metaflow_body("unknown"))
        assert (answer.status_code, "no topic for 'unknown'" in answer.text) == (404, True)
        assert set(house.broker.topics) == {"known"}

    run(work)


def test_a_topic_that_somebody_made_a_moment_ago_is_found() -> None:
    async def work() -> None:
        house = House(rules=TopicRules("flowbridge."))
        assert (await house.post(metaflow_body("new"))).status_code == 404
        house.broker.create(TopicSpec("new", 1))
        assert (await house.post(metaflow_body("new"))).status_code == 200

    run(work)


def test_new_names_get_topics_up_to_a_number_of_topics_in_the_cluster() -> None:
    async def work() -> None:
        house = House(rules=creating(most=2))
        house.broker.create(TopicSpec("other", 1))
        assert (await house.post(metaflow_body("one"))).status_code == 200
        assert (await house.post(metaflow_body("two"))).status_code == 404
        assert (await house.post(metaflow_body("one"))).status_code == 200
        assert set(house.broker.topics) == {"other", "one"}

    run(work)


def test_a_name_that_kafka_takes_for_another_is_refused_and_says_which() -> None:
    async def work() -> None:
        house = House()
        house.broker.create(TopicSpec("order_created.eu", 1))
        answer = await house.post(metaflow_body("order.created.eu"))
        assert (answer.status_code, "could not tell it from 'order_created.eu'" in answer.text) == (404, True)
        assert set(house.broker.topics) == {"order_created.eu"}

    run(work)


@pytest.mark.parametrize("making", [new_topic, None])
def test_a_shared_topic_that_is_missing_is_made_where_topics_are_whatever_becomes_of_new_names(
    making: Callable[[str], TopicSpec] | None,
) -> None:
    rules = TopicRules("flowbridge.", SharedTopics({"metaflow.*": "shared"}), None, 1, making)

    async def work() -> None:
        house = House(rules=rules)
        house.broker.create(TopicSpec("other", 1))
        assert (await house.post(metaflow_body("metaflow.Flow.end"))).status_code == (200 if making else 404)
        assert (await house.post(metaflow_body("unknown"))).status_code == 404
        assert set(house.broker.topics) == ({"other", "shared"} if making else {"other"})

    run(work)


def test_names_that_share_a_topic_keep_their_names_in_it() -> None:
    async def work() -> None:
        house = House(rules=creating(shared={"metaflow.*": "metaflow-events"}))
        for name in ("metaflow.FlowA.end", "metaflow.FlowB.end", "order.created"):
            assert (await house.post(metaflow_body(name))).status_code == 200
        assert [head.name for head, _ in house.events("metaflow-events")] == [
            "metaflow.FlowA.end",
            "metaflow.FlowB.end",
        ]
        assert set(house.broker.topics) == {"metaflow-events", "order.created"}

    run(work)


def test_one_that_is_leaving_is_unready_and_still_serves() -> None:
    async def work() -> None:
        house = House()
        house.gateway.leave()
        assert await house.ready() == 503
        assert (await house.post(metaflow_body("a"))).status_code == 200

    run(work)


def test_what_comes_to_one_that_is_leaving_does_not_put_off_the_end() -> None:
    async def work() -> None:
        house = House(Bounds(hold=2.0))
        assert (await house.post(metaflow_body("a"))).status_code == 200
        house.log.go_away()
        house.gateway.leave()
        end = asyncio.get_running_loop().time() + 2.0
        held = [asyncio.create_task(house.post(metaflow_body("a")))]
        await asyncio.sleep(1.5)
        held.append(asyncio.create_task(house.post(metaflow_body("a"))))
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {500}
        assert asyncio.get_running_loop().time() - end < 1.0  # the second would be held for 1.5 s more

    run(work)
