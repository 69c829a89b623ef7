"""The promises about spans: one for each step of a traced event, told once, and only if somebody asked for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bridge.argo.manifest import TRACEPARENT
from bridge.cli.wiring.traces import exported_spans
from bridge.core.spans import Span, is_sampled
from bridge.errors import SettingsError
from bridge.kafka.log import AbortableError
from bridge.settings.settings import Settings
from bridge.triggers.resources import read_text
from servers.otlp import otlp_receiver
from servers.process import wait_for
from unit.stages.world import Process, World, one_slot, two_slots

FIRST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SECOND = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
UNSAMPLED = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b7-00"


def traced(world: World) -> tuple[list[Span], Process]:
    """Start a process whose spans are kept; return them and it."""
    spans: list[Span] = []
    world.trace = spans.extend
    process = world.start()
    world.run(3)
    return spans, process


def test_a_context_asks_for_spans_by_its_flag() -> None:
    assert [is_sampled(context) for context in (FIRST, UNSAMPLED, FIRST[:-2] + "03", FIRST[:-2] + "02", "")] == [
        True,
        False,
        True,
        False,
        False,
    ]


def test_each_step_of_a_traced_event_has_a_span_whose_parent_is_the_step_before() -> None:
    world = World(one_slot(parameters=()))
    spans, _ = traced(world)
    world.publish("order.created", {}, id="e1", traceparent=FIRST)
    world.run(3)
    assert [span.name for span in spans] == ["route order.created", "match default/ship", "create default/ship"]
    route, match, create = spans
    assert (route.parent, match.parent, create.parent) == (FIRST, route.context, match.context)
    assert {span.context[:36] for span in spans} == {FIRST[:36]}
    assert len({span.context for span in spans}) == 3
    assert {span.links for span in spans} == {()}
    (workflow,) = world.created
    assert workflow.manifest["metadata"]["annotations"][TRACEPARENT] == match.context
    assert route.attributes == {"flowbridge.event": "e1", "flowbridge.source": "tests"}
    assert match.attributes == {"flowbridge.trigger": "default/ship", "flowbridge.run_key": workflow.run_key}
    assert create.attributes == {**match.attributes, "flowbridge.workflow": f"default/{workflow.name}"}
    assert all(span.start <= span.end <= world.now for span in spans)


def test_a_match_of_two_traces_continues_the_last_one_and_links_to_the_other() -> None:
    world = World(two_slots())
    spans, _ = traced(world)
    world.publish("order.created", {"order": "1"}, traceparent=FIRST)
    world.run(3)
    world.publish("payment.done", {"order": "1", "amount": "1"}, traceparent=SECOND)
    world.run(3)
    first, second, match, create = spans
    assert (first.parent, second.parent) == (FIRST, SECOND)
    assert (match.parent, match.links) == (second.context, (first.context,))
    assert create.parent == match.context


def test_an_event_that_is_not_sampled_has_no_span_and_keeps_its_context() -> None:
    world = World(one_slot(parameters=()))
    spans, _ = traced(world)
    world.publish("order.created", {}, traceparent=UNSAMPLED)
    world.publish("order.created", {})
    world.run(3)
    assert spans == []
    assert [each.manifest["metadata"]["annotations"].get(TRACEPARENT) for each in world.created] == [UNSAMPLED, None]


def test_of_two_events_the_one_that_is_sampled_is_continued() -> None:
    world = World(two_slots())
    spans, _ = traced(world)
    world.publish("order.created", {"order": "1"}, traceparent=FIRST)
    world.run(3)
    world.publish("payment.done", {"order": "1", "amount": "1"}, traceparent=UNSAMPLED)
    world.run(3)
    route, match, _ = spans
    assert (match.parent, match.links) == (route.context, (UNSAMPLED,))


def test_a_batch_that_is_aborted_tells_nothing() -> None:
    world = World(one_slot(parameters=()))
    spans, process = traced(world)

    def abort() -> None:
        raise AbortableError("the coordinator moved")

    world.publish("order.created", {}, traceparent=FIRST)
    process.at("before commit", abort)
    process.step("router")
    assert spans == []
    world.run(30)
    assert [span.name.partition(" ")[0] for span in spans] == ["route", "match", "create"]
    assert spans[1].parent == spans[0].context


def test_spans_are_exported_by_otlp() -> None:
    span = Span(
        "match a/b", SECOND[:36] + FIRST[36:], SECOND, (FIRST,), 1_000_000, 3_500_000, {"flowbridge.trigger": "a/b"}
    )
    with otlp_receiver() as receiver:
        with exported_spans(Settings(traces_endpoint=receiver.endpoint + "/")) as export:
            assert export is not None
            export([span])
        (received,) = receiver.spans
    assert (received.service, received.name, received.seconds) == ("flowbridge", "match a/b", 2.5)
    assert (received.trace, received.id) == (SECOND[3:35], FIRST[36:52])
    assert received.parent == SECOND[36:52]
    assert received.links == ((FIRST[3:35], FIRST[36:52]),)
    assert received.attributes == {"flowbridge.trigger": "a/b"}


def test_a_collector_that_is_away_holds_nobody_up() -> None:
    span = Span("route a", FIRST, SECOND, (), 0, 1, {})
    with otlp_receiver() as receiver:
        endpoint = receiver.endpoint
    with exported_spans(Settings(traces_endpoint=endpoint)) as export:
        assert export is not None
        began = time.monotonic()
        export([span] * 10_000)
        took = time.monotonic() - began
        began = time.monotonic()
    assert took < 5
    assert time.monotonic() - began < 10


def test_the_trigger_on_the_page_about_traces_loads() -> None:
    page = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    triggers, errors = read_text(example, "page", "page", "default")
    assert (len(triggers), errors) == (1, [])


def test_nothing_is_exported_without_an_endpoint_and_its_own_variable_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with exported_spans(Settings()) as export:
        assert export is None
    with otlp_receiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        with exported_spans(Settings()) as export:
            assert export is not None
            export([Span("route a", FIRST, SECOND, (), 0, 1, {})])
        wait_for(lambda: len(receiver.spans) == 1, 10, "the span")


def test_an_endpoint_without_opentelemetry_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError) as caught, exported_spans(Settings(traces_endpoint="http://127.0.0.1:1")):
        pass
    (problem,) = caught.value.problems
    assert "pip install 'flowbridge[traces]'" in problem.text()
