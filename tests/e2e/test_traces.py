"""One trace from two publishers to a Workflow, on a real Kafka and API server: each step a span of the right parent."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import use_span

from bridge.argo.manifest import TRACEPARENT
from e2e.installation import DEADLINE, parameters
from servers.loopback import HOST, free_port
from servers.otlp import otlp_receiver
from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.installation import Installation

REQUEST = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: traced}
spec:
  events:
    - {name: traces.order, as: order}
    - {name: traces.payment, as: payment}
  key: payload.order_id
  window: {within: 1h}
  run:
    workflowTemplate: traced
    parameters: {order: order.payload.order_id, trace: order.traceparent}
"""


def test_a_trace_goes_from_its_publishers_to_the_workflow_with_a_link_to_the_other_event(
    installation: Installation,
) -> None:
    installation.create_template("traced", order="none", trace="none")
    installation.write_triggers(TRIGGER)
    job = TracerProvider().get_tracer("tests").start_span("the job")
    with otlp_receiver() as receiver:
        port = free_port()
        settings = {"TRACES_ENDPOINT": receiver.endpoint, "GATEWAY": "true", "GATEWAY_LISTEN": f"{HOST}:{port}"}
        with installation.process(**{f"FLOWBRIDGE_{name}": value for name, value in settings.items()}) as bridge:
            installation.wait_triggers("traced")
            with installation.publisher() as publisher, use_span(job):
                publisher.publish("traces.order", {"order_id": "o-1"})
            installation.wait_processed()
            payment = {"name": "traces.payment", "payload": {"order_id": "o-1"}}
            headers = {"traceparent": REQUEST, "content-type": "application/json"}
            request = urllib.request.Request(
                f"http://{HOST}:{port}/metaflow-event", json.dumps(payment).encode(), headers
            )
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:  # noqa: S310 - loopback
                assert answer.status == 200
            (workflow,) = installation.wait_workflows("traced", 1)
            wait_for(lambda: len(receiver.named("create")) == 1, DEADLINE, "the last span")
            bridge.stop(DEADLINE)
    assert sorted(span.name.partition(" ")[0] for span in receiver.spans) == [
        "create",
        "match",
        "publish",
        "route",
        "route",
    ]
    (publish,) = receiver.named("publish traces.payment")
    (ordered,), (paid,) = receiver.named("route traces.order"), receiver.named("route traces.payment")
    (match,), (create,) = receiver.named("match"), receiver.named("create")
    assert (publish.trace, publish.parent) == (REQUEST[3:35], REQUEST[36:52])
    assert [(span.trace, span.parent) for span in (paid, match, create)] == [
        (publish.trace, publish.id),
        (publish.trace, paid.id),
        (publish.trace, match.id),
    ]
    assert ordered.trace == f"{job.get_span_context().trace_id:032x}"
    assert match.links == ((ordered.trace, ordered.id),)
    assert workflow["metadata"]["annotations"][TRACEPARENT] == f"00-{match.trace}-{match.id}-01"
    assert parameters(workflow)["trace"].split("-")[1:3] == [ordered.trace, ordered.id]
    assert {span.service for span in receiver.spans} == {"flowbridge"}
