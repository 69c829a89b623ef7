"""What the commands need that judge and send dead letters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from random import Random
from typing import NamedTuple

from bridge.cli.letters.choosing import letter_log
from bridge.cli.wiring.cluster import connect_cluster
from bridge.cli.wiring.process import replay_dependencies
from bridge.errors import KubernetesUnreachableError
from bridge.kafka.internal_topics import InternalTopics
from bridge.kafka.log import Log
from bridge.letters.judging import Judge
from bridge.letters.letter import Choice
from bridge.letters.letter_log import LetterLog
from bridge.letters.way_back import BY_NAME, WayBack
from bridge.replay.frozen import read_recorded
from bridge.replay.recorded import Recorded
from bridge.settings.settings import Settings
from bridge.stages.shared.decoding import EventDecoder
from bridge.stages.shared.definitions import Definitions
from bridge.stages.stage_thread import steady_clock, wall_clock
from bridge.stages.submitter.templates import Templates


class Desk(NamedTuple):
    """What reads, judges and sends letters.

    Attributes:
        log: The Kafka cluster.
        topics: The internal topics.
        letters: Reads letters.
        definitions: The triggers.
        way: Finds what is sent for a letter.
        judge: Tells what would happen to it.

    """

    log: Log
    topics: InternalTopics
    letters: LetterLog
    definitions: Definitions
    way: WayBack
    judge: Judge


@contextmanager
def desk(settings: Settings, choice: Choice, *, asks_cluster: bool) -> Iterator[Desk]:
    """Connect, read the triggers, and yield what deals with letters.

    Args:
        settings: The settings.
        choice: Which letters are asked for.
        asks_cluster: Whether WorkflowTemplates are looked at, if a cluster can be reached.

    """
    with letter_log(settings) as (log, topics, letters):
        definitions = Definitions(log, topics.triggers, steady_clock)
        with closing(definitions):
            definitions.refresh()
            with closing(log.admin()) as admin:
                partitions = admin.topics()

            @cache
            def recorded(trigger: str) -> Recorded:
                runs = Recorded(trigger)
                read_recorded(log, topics, runs)
                return runs

            is_named = choice.places is not None or choice.reason in BY_NAME
            way = WayBack(topics, partitions, definitions, recorded, wall_clock, is_named=is_named)
            decoder = EventDecoder(replay_dependencies(settings).decoder, steady_clock)
            templates = None
            if asks_cluster:
                with suppress(KubernetesUnreachableError):
                    templates = Templates(connect_cluster(settings), wall_clock, Random())  # noqa: S311 - jitter
            yield Desk(
                log, topics, letters, definitions, way, Judge(topics, definitions, decoder, templates, wall_clock)
            )
