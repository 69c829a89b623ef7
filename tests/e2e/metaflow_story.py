"""What happens in the end-to-end test of Metaflow: events that real publishers post, and what the flows must see.

The values are those of Metaflow's documentation: a Parameter takes the field of its own name where nothing is mapped,
else the field that the mapping names, else its default; each in its own type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metaflow.plugins.argo.argo_events import ArgoEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST: dict[str, Any] = {
    "title": 'a "quoted" title; with (much) in it',
    "headline": "It's {news}: 100% & <more>",
    "rows": 12,
    "row_count": 34,
    "spare-time": 2.5,
    "text": "dréi \\ lines\nand 'quotes'",
    "count": 3,
    "share": 0.25,
    "fresh": False,
    "tree": {"leaves": [1, 2.5, "drei", None, {"deep": True}], "text": 'it\'s "fine"'},
    "nothing": "something",
    "customer": "c-1",
}
"""The first ``data.updated``: every field that some flow takes."""

SECOND: dict[str, Any] = {
    "headline": "second",
    "row_count": 35,
    "rows": 13,
    "share": 3,
    "tree": "[1]",
    "customer": "c-2",
}
"""The second one: fields are missing, whole numbers and JSON in a string stand where other types are expected."""

APPROVED: dict[str, Any] = {
    "model": "m-1",
    "model_name": "m 1",
    "settings": {"depth": 5, "names": ["a b", "c"]},
    "customer": "c-2",
}
BRANCH_EVENT = "mfns.shop.test.summer.data.updated"
"""What ``namespaced_event_name("data.updated")`` is in the branch of the project."""


def events(url: str) -> Iterator[str]:
    """Publish one event after another, as Metaflow's users do, and yield the id of each."""
    first = ArgoEvent("data.updated", url=url, payload={"customer": "replaced when it is published"})
    yield first.publish(FIRST, ignore_errors=False)
    second = ArgoEvent("data.updated", url=url).add_to_payload("count", 2**40).add_to_payload("fresh", "True")
    yield second.publish(SECOND, ignore_errors=False)
    yield ArgoEvent("model.approved", url=url).publish(APPROVED, ignore_errors=False)
    for name in ("model-approved", "report_done"):
        yield ArgoEvent(name, url=url).publish(ignore_errors=False)
    yield ArgoEvent(BRANCH_EVENT, url=url).publish({"rows": 21}, ignore_errors=False)


FINISHED = ("one_event", "two_mapped", "project_branch")
"""The flows that are run to their end, where other flows wait for that."""

STARTED_BY_THAT = ("finish_one", "finish_many", "finish_project", "finish_qualified", "finish_branch")

_OF_TYPES = {name: FIRST[name] for name in ("count", "share", "fresh", "tree", "nothing")}
# Metaflow's pods write a text as JSON into a file that a shell reads, which knows neither \u nor \n: so it is with Argo
# Events as well, and no other text in the Workflow would change it. A JSONType is written twice, and comes whole.
_OF_TYPES["text"] = "dr\\u00e9i \\ lines\\nand 'quotes'"
_DEFAULTS = {"text": 'a "quoted" text', "nothing": None}
_BEGINS = {"rows": 12, "title": FIRST["title"]}

SEEN: dict[tuple[str, int], dict[str, Any]] = {
    ("default_parameters", 0): {**_BEGINS, "spare_time": 2.5},
    ("mapping", 0): {"rows": 34, "title": FIRST["headline"], "region": "north"},
    ("mapping_list", 1): {"rows": 13, "title": "second"},
    ("typed_parameters", 0): _OF_TYPES,
    ("typed_parameters", 1): {**_DEFAULTS, "count": 2**40, "share": 3.0, "fresh": True, "tree": [1]},
    ("two_mapped", 0): {"rows": 35, "model": "m 1", "settings": APPROVED["settings"], "region": "north"},
    ("callable_events", 0): {"rows": 35, "model": "m-1"},
    ("project_branch", 0): {"rows": 21},
    ("one_event", 0): {},
}
"""The Parameters that a run of a flow sees; of its Workflows the n-th."""

TOLD: dict[str, list[str]] = {
    "one_event": ["report_done"],
    "two_mapped": ["data.updated", "model.approved"],
    "project_branch": [BRANCH_EVENT],
}
"""The names of the events that ``current.trigger`` has."""
