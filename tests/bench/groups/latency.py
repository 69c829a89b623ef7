"""Latency: from the moment that an event is published until a watch on the cluster sees its Workflow.

At 20 events a second, with one slot and with two (there the second event of each pair counts), and for comparison bare
creates by the same client: from the request until the same watch sees the Workflow. With one slot also by a publisher
that waits for no other events (``linger.ms`` is 0). All take turns, block by block, against one ``flowbridge run`` on a
core of its own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.bed import Bed
from bench.cores import CLIENT, pin
from bench.figures import Figure, at_most, percentile
from bench.filling import bench_run
from bench.groups.sightings import Sightings
from bench.material import EVENT, ONE_SLOT, PARTNER, SINGLE, TWO_SLOTS, order, write_trigger
from bench.scale import Scale
from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.argo.manifest import workflow_manifest
from e2e.bridge_process import BridgeProcess
from flowbridge_sdk import Publisher
from flowbridge_sdk.schemas import EventSchemas

_PERIOD = 1 / 20
_WARM_UP = 100
"""Samples of each side that do not count: the bridge and its connections are new."""
_SECONDS = 60.0
_P50_BOUND, _P99_BOUND = 6.0, 20.0  # milliseconds above bare creates
_ONE_SLOT, _HASTY = "one slot", "one slot, `linger.ms` of the publisher 0"

Side = Callable[[int], tuple[str, float]]
"""Does what is measured, for one number: returns the ``order`` to wait for, and when it began."""


def latencies(bed: Bed, scale: Scale) -> list[Figure]:
    """Measure all sides."""
    samples: dict[str, list[float]] = defaultdict(list)
    with ExitStack() as stack:
        namespace = bed.namespace()
        triggers = bed.folder / "latency"
        triggers.mkdir()
        for name, text in (("single", ONE_SLOT), ("pair", TWO_SLOTS)):
            write_trigger(triggers, name, text)
        bridge = stack.enter_context(BridgeProcess(environment(bed, triggers, namespace), bed.folder / "latency.log"))
        pin(bridge.pid, CLIENT)
        bridge.wait_ready()
        sightings = stack.enter_context(Sightings(bed.kubernetes, namespace))
        schemas = EventSchemas.load(bed.schemas)
        publisher = stack.enter_context(Publisher(bed.bootstrap, schemas=schemas))
        hasty = stack.enter_context(Publisher(bed.bootstrap, schemas=schemas, config={"linger.ms": 0}))
        api = KubernetesWorkflowApi(str(bed.kubernetes.kubeconfig))
        stack.callback(api.close)
        sides: dict[str, Side] = {
            "bare create": partial(_create, api, namespace),
            _ONE_SLOT: partial(_publish_one, publisher, "single"),
            _HASTY: partial(_publish_one, hasty, "hasty"),
            "two slots": partial(_publish_pair, publisher),
        }
        _warm_up(sides, sightings)
        for block in _blocks(scale):
            for name, side in sides.items():
                samples[name] += _measured(side, block, sightings)
    return _figures(samples)


def environment(bed: Bed, triggers: Path, namespace: str) -> dict[str, str]:
    """Return the settings of ``flowbridge run``."""
    return {
        "KUBECONFIG": str(bed.kubernetes.kubeconfig),
        "FLOWBRIDGE_BOOTSTRAP_SERVERS": bed.bootstrap,
        "FLOWBRIDGE_TRIGGERS": str(triggers),
        "FLOWBRIDGE_SCHEMAS": str(bed.schemas),
        "FLOWBRIDGE_NAMESPACE": namespace,
        "FLOWBRIDGE_INTERNAL_PREFIX": f"{namespace}.",
    }


def _create(api: KubernetesWorkflowApi, namespace: str, number: int) -> tuple[str, float]:
    run = bench_run(namespace, number)
    manifest = workflow_manifest(run._replace(parameters=(("order", f"bare-{number}"), ("amount", "1"))))
    began = time.monotonic()
    api.create(manifest, timeout=10)
    return f"bare-{number}", began


def _publish_one(publisher: Publisher, name: str, number: int) -> tuple[str, float]:
    began = time.monotonic()
    publisher.publish(SINGLE, {"order_id": f"{name}-{number}", "amount": 1.5})
    return f"{name}-{number}", began


def _publish_pair(publisher: Publisher, number: int) -> tuple[str, float]:
    payload = {**order(number), "order_id": f"pair-{number}"}
    publisher.publish(EVENT, payload)
    time.sleep(_PERIOD)  # both count as events: so 20 of them a second
    began = time.monotonic()
    publisher.publish(PARTNER, payload)
    return f"pair-{number}", began


def _blocks(scale: Scale) -> Iterator[range]:
    for first in range(0, scale.latencies, scale.block):
        yield range(first, min(first + scale.block, scale.latencies))


def _warm_up(sides: dict[str, Side], sightings: Sightings) -> None:
    """Wait until the triggers are in force, and everything has been done a few times."""
    for number in range(-_WARM_UP, 0):
        for side in sides.values():
            sightings.wait(side(number)[0], _SECONDS)


def _measured(side: Side, block: range, sightings: Sightings) -> list[float]:
    """Return the latencies of a block in milliseconds."""
    begun: dict[str, float] = {}
    due = time.monotonic()
    for number in block:
        time.sleep(max(0.0, due - time.monotonic()))
        name, began = side(number)
        begun[name] = began
        due = max(due, began) + _PERIOD
    return [1000 * (sightings.wait(name, _SECONDS) - began) for name, began in begun.items()]


def _figures(samples: dict[str, list[float]]) -> list[Figure]:
    figures = []
    bare = {share: percentile(samples["bare create"], share) for share in (0.5, 0.99)}
    for name, values in samples.items():
        for share, bound in ((0.5, _P50_BOUND), (0.99, _P99_BOUND)):
            judged = at_most(bare[share] + bound, f"bare + {bound:.0f} ms") if name in (_ONE_SLOT, _HASTY) else None
            what = f"{name}, until a watch sees the Workflow: p{share * 100:.0f}"
            figures.append(Figure(what, "ms", values, judged, partial(_share, share)))
    return figures


def _share(share: float, values: list[float]) -> float:
    return percentile(values, share)
