"""What worlds do now and then for a while: each habit begins, lasts, and ends, and a share of the worlds has it.

A habit excuses nothing: all that is promised holds while it lasts and after it. What cannot be done meanwhile is done
once it is over, at the latest when the world heals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from bridge.core.event import SECOND, Micros
from bridge.kafka.log import Partition
from simulation.conditions import OTHER, TOPICS

if TYPE_CHECKING:
    from simulation.world import World

_INTERNAL = ("windows", "ledger", "arrivals", "runs", "triggers")
_HOUR: Micros = 3600 * SECOND


class Habit(NamedTuple):
    """Something that a world does for a while.

    Attributes:
        share: How many of the worlds have it, from 0 to 1.
        lasts: For how many seconds it may last.
        draw: Returns what it befalls, from a source of chance and the number of seats: plain values.
        begin: Begins it.
        end: Ends it; also when it has ended already.

    """

    share: float
    lasts: tuple[int, ...]
    draw: Callable[[Random, int], tuple[Any, ...]]
    begin: Callable[..., None]
    end: Callable[..., None]


def _a_partition(random: Random, seats: int) -> tuple[Any, ...]:
    del seats
    return random.choice((*TOPICS, *TOPICS, *_INTERNAL)), random.randrange(2)


def _place(world: World, topic: str, number: int) -> Partition:
    name = topic if topic in TOPICS else world.topics.prefix + topic
    return Partition(name, number % len(world.broker.topics[name].logs))


def _lose_leader(world: World, topic: str, number: int) -> None:
    world.broker.leaderless.add(_place(world, topic, number))


def _find_leader(world: World, topic: str, number: int) -> None:
    world.broker.leaderless.discard(_place(world, topic, number))


def _leave_out(world: World, topic: str, number: int) -> None:
    world.broker.left_out.add(_place(world, topic, number).topic)


def _tell_again(world: World, topic: str, number: int) -> None:
    world.broker.left_out.discard(_place(world, topic, number).topic)


def _a_denial(random: Random, seats: int) -> tuple[Any, ...]:
    del seats
    return random.choice(TOPICS), random.choice(("read", "describe"))


def _deny(world: World, topic: str, what: Literal["read", "describe"]) -> None:
    world.broker.denied[topic] = what


def _allow(world: World, topic: str, what: str) -> None:
    del what
    world.broker.denied.pop(topic, None)


def _an_error(random: Random, seats: int) -> tuple[Any, ...]:
    return random.randrange(seats), random.choice((-5, -1, 1, 5)) * _HOUR


def _step(world: World, seat: int, error: Micros) -> None:
    """Let a clock step, if what follows can be told.

    - A dead man's switch that is first watched by a clock that is hours behind watches these hours, too: thousands of
      short windows. There it only steps forward.
    - What limits count is told by the clocks' own moments. There it only steps back.
    """
    triggers = world.script.triggers
    is_watched = any(trigger.is_switch for trigger in triggers)
    is_counted = any(
        trigger.run.limits.rate is not None or trigger.run.limits.storm is not None for trigger in triggers
    )
    if not (is_watched and error < 0) and not (is_counted and error > 0):
        world.clock_errors[seat] = error


def _step_back(world: World, seat: int, error: Micros) -> None:
    del error
    world.clock_errors.pop(seat, None)


def _a_topic(random: Random, seats: int) -> tuple[Any, ...]:
    del seats
    return (random.choice(TOPICS),)


def _cut_off(world: World, topic: str) -> None:
    world.cut_off.add(topic)


def _let_through(world: World, topic: str) -> None:
    world.cut_off.discard(topic)


def _nothing(random: Random, seats: int) -> tuple[Any, ...]:
    del random, seats
    return ()


def _fail_creates(world: World) -> None:
    world.cluster.fails = True


def _make_again(world: World) -> None:
    world.cluster.fails = False


def _a_template(random: Random, seats: int) -> tuple[Any, ...]:
    del seats
    return (random.choice(("missing", "forbidden")),)


def _take_template(world: World, how: str) -> None:
    world.cluster.template_is = how


def _give_template(world: World, how: str) -> None:
    del how
    world.cluster.template_is = ""


def _hang(world: World) -> None:
    world.cluster.hanging.add(OTHER)


def _go_on(world: World) -> None:
    world.cluster.hanging.discard(OTHER)


def _say_nothing(world: World) -> None:
    world.source_is = "silent"


def _say_half(world: World) -> None:
    world.source_is = "half read"


def _say_all(world: World) -> None:
    world.source_is = ""


HABITS: Mapping[str, Habit] = {
    "leaderless": Habit(0.15, (3, 8, 20), _a_partition, _lose_leader, _find_leader),
    "left out": Habit(0.15, (3, 8, 20), _a_partition, _leave_out, _tell_again),
    "denied": Habit(0.1, (3, 8, 20), _a_denial, _deny, _allow),
    "wrong clock": Habit(0.1, (3, 8, 20), _an_error, _step, _step_back),
    "creates fail": Habit(0.1, (8, 20, 45), _nothing, _fail_creates, _make_again),
    "no template": Habit(0.1, (3, 8, 20), _a_template, _take_template, _give_template),
    "cut off": Habit(0.2, (8, 20, 45), _a_topic, _cut_off, _let_through),
    # Of scenes alone, which say how long:
    "namespace hangs": Habit(0, (), _nothing, _hang, _go_on),
    "silent source": Habit(0, (), _nothing, _say_nothing, _say_all),
    "half a source": Habit(0, (), _nothing, _say_half, _say_all),
}
"""By name."""


def drawn(random: Random, seats: int, eventful: Micros) -> Iterator[tuple[Micros, str, Micros, tuple[Any, ...]]]:
    """Yield when which habits begin in a world, how long they last, and what they befall."""
    for name, habit in HABITS.items():
        if random.random() < habit.share:
            for _ in range(random.choice((1, 1, 2))):
                lasts = random.choice(habit.lasts) * SECOND
                yield random.randrange(eventful), name, lasts, habit.draw(random, seats)
