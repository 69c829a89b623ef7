"""Make the surroundings of stages and replays from the settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.argo.api import WorkflowApi
from bridge.cli.wiring.kafka import connect, internal_topics, new_topic
from bridge.cli.wiring.schemas import log_broken, schema_errors
from bridge.file_state import file_state
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log
from bridge.kafka.loop import Sink, Trace
from bridge.kafka.observer import Observer, Unobserved
from bridge.replay.planner import ReplayDependencies
from bridge.settings.settings import Settings
from bridge.stages.process import ProcessDependencies
from bridge.stages.shared.schema_lookups import SchemaLookups
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.triggers.sources.source import TriggerSource
from flowbridge_sdk.attributes.shared_topics import SharedTopics
from flowbridge_sdk.codec import Decoder
from flowbridge_sdk.schemas import EventSchemas


def dependencies(
    settings: Settings,
    log: Log,
    api: WorkflowApi,
    topics: InternalTopics,
    source: TriggerSource,
    sink: Sink,
    observer: Observer | None = None,
    trace: Trace | None = None,
) -> ProcessDependencies:
    """Return the surroundings of the stages of a process."""
    lookups = None
    if settings.schema_registry_url is not None:
        from flowbridge_sdk.registry import Registry  # noqa: PLC0415  (an optional part of the SDK)

        lookups = SchemaLookups(Registry(settings.schema_registry_url))
    registry: Any = lookups  # it answers as a Registry does, but at once

    def decoder() -> Decoder:
        with schema_errors():
            schemas = EventSchemas.load(*settings.schemas, on_broken=log_broken)
            return Decoder(schemas, registry, settings.json_topics)

    return ProcessDependencies(
        log=log,
        api=api,
        topics=topics,
        decoder=decoder,
        lookups=lookups,
        schema_state=lambda: _files_state(settings.schemas),
        source=source,
        sink=sink,
        shared_topics=SharedTopics(settings.shared_topics),
        member=settings.member,
        instance=settings.instance,
        observer=observer or Unobserved(),
        trace=trace,
        new_topic=new_topic(settings) if settings.create_topics else None,
        controller=settings.controller,
        router=settings.router,
        windows=settings.windows,
        submitter=settings.submitter,
    )


def _files_state(paths: Sequence[Path]) -> object:
    """Return the state of the files of schemas at some paths, which are files and folders."""
    files = [file for path in paths for file in (sorted(path.glob("*.avsc")) if path.is_dir() else [path])]
    return files, file_state(*files)


def replay_dependencies(settings: Settings) -> ReplayDependencies:
    """Return what a replay works with; the schema registry is waited for, since no other work stands behind it."""
    registry: Any = None
    if settings.schema_registry_url is not None:
        from flowbridge_sdk.registry import Registry  # noqa: PLC0415  (an optional part of the SDK)

        registry = Registry(settings.schema_registry_url)

    def decoder() -> Decoder:
        with schema_errors():
            return Decoder(EventSchemas.load(*settings.schemas, on_broken=log_broken), registry, settings.json_topics)

    return ReplayDependencies(
        log=connect(settings),
        topics=internal_topics(settings),
        decoder=decoder,
        windows=settings.windows,
        horizon=settings.submitter.ledger_horizon,
        clock=wall_clock,
        pace=steady_clock,
    )
