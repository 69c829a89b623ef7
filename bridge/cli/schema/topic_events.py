"""The last events of a topic, as samples for ``flowbridge schema infer``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from math import ceil
from typing import Any

import click

from bridge.cli.wiring.process import replay_dependencies
from bridge.core.runs.parameters import carried_payload
from bridge.errors import KafkaUnreachableError, UsageError
from bridge.kafka.log import LogError, Partition
from bridge.plain_text import visible
from bridge.replay.merge import merged
from bridge.settings.settings import Settings
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.event_reader import EventReader
from flowbridge_sdk.errors import DecodeError


def events_of_topic(topic: str, name: str | None, last: int, settings: Settings) -> Iterator[tuple[str, Any]]:
    """Yield the payloads of the last events of a topic as JSON, each with its place.

    Args:
        topic: The Kafka topic.
        name: Name of the events that are wanted, where the topic holds several; None for all.
        last: Records that are read; of each partition an equal share.
        settings: Where Kafka is, and the schemas that some events may be written with.

    Raises:
        UsageError: There is no such topic.
        KafkaUnreachableError: No broker answers.

    """
    try:
        yield from _read(topic, name, last, settings)
    except LogError as error:
        raise KafkaUnreachableError(f"no answer from {settings.bootstrap_servers}: {error}") from error


def _read(topic: str, name: str | None, last: int, settings: Settings) -> Iterator[tuple[str, Any]]:
    around = replay_dependencies(settings.model_copy(update={"json_topics": (*settings.json_topics, topic)}))
    reader = EventReader(EventDecoder(around.decoder, around.pace))
    with closing(around.log.admin()) as admin:
        number = admin.topics().get(topic, 0)
        if not number:
            raise UsageError(f"there is no topic {topic}", "check its name, and that this user may read it")
        places = [Partition(topic, index) for index in range(number)]
        starts, ends = admin.start_offsets(places), admin.stable_ends(places)
    firsts = {place: max(starts[place], ends[place] - ceil(last / number)) for place in places}
    unread = 0
    with closing(around.log.ranges(firsts)) as ranges:
        for time, record in merged(ranges, ends, around.pace, around.clock() // 1000):
            place = f"{topic}/{record.partition} offset {record.offset}"
            try:
                event = around.patiently(reader.read, record, time, time * 1000).event
            except DecodeError as error:
                unread += 1
                if unread == 1:
                    click.echo(visible(f"note: {place} is left out: {error}"), err=True)
                continue
            if name is None or event.name == name:
                yield place, json.loads(carried_payload(event.payload))
    if unread > 1:
        click.echo(f"note: {unread} records are left out", err=True)
