"""Each run that has not ended is in one place, the one that its state says, and counts follow from the places."""

from __future__ import annotations

from collections import Counter
from random import Random

from bridge.argo.memory import answered
from bridge.cluster.responses import Unknown
from bridge.core.event import MINUTE, SECOND
from bridge.core.trigger import RunLimits
from bridge.stages.submitter.open_run import RunState
from bridge.stages.submitter.submitter import Submitter
from unit.stages.timed_workers import TimedWorld, on_order, on_payment
from unit.stages.world import Process

ANSWERS = (
    Unknown("timed out"),
    answered(429, "TooManyRequests", "slow down").response,
    answered(403, "Forbidden", "User cannot create").response,
    answered(422, "Invalid", "no").response,
)
AT_REST = {RunState.QUEUED, RunState.DOUBTFUL, RunState.ASKING, RunState.SENT}
"""States of runs in memory between batches. Those that are put off are on the shelf."""
LARGE = "x" * 5_000


def test_each_run_is_in_the_one_place_that_its_state_says() -> None:
    states: set[RunState] = set()
    for seed in range(6):
        try:
            states |= states_in_a_random_world(Random(seed))
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
    assert {RunState.QUEUED, RunState.PUT_OFF, RunState.DOUBTFUL, RunState.SENT} <= states


def states_in_a_random_world(random: Random) -> set[RunState]:
    """Check the places of all runs in a random world; return the states in which they were met."""
    limited = on_order(limits=RunLimits(rate=2, per=MINUTE, storm=30, storm_within=MINUTE))
    brief = on_payment(start_deadline=40 * SECOND)
    world = TimedWorld(limited, brief, seconds=lambda _: random.choice((0.01, 0.5, 5.0)))
    create, states = world.api.create, Counter[RunState]()
    processes = [world.start()]
    world.run(3)
    world.answer_in("team-a", ANSWERS[0])
    world.publish("order.created", {"order": "0"})
    for _ in range(60):
        for _ in range(random.randrange(6)):
            name, text = random.choice(("order.created", "payment.done")), random.choice(("", LARGE))
            world.publish(name, {"order": str(random.randrange(10**9)), "text": text})
        if random.random() < 0.3:
            world.api.create = create  # type: ignore[method-assign]  # as it was
            if random.random() < 0.7:
                world.answer_in(random.choice(("team-a", "team-b")), random.choice(ANSWERS))
        if random.random() < 0.1 and len(processes) == 1:
            processes.append(world.start("p2"))
        elif random.random() < 0.1 and len(processes) == 2:
            processes.pop().stop()
        world.run(random.choice((0.25, 1, 10)), 0.25)
        for process in processes:
            states += checked(process)
    return set(states)


def test_more_runs_in_doubt_than_are_at_hand_wait_on_the_shelf_and_lose_nothing() -> None:
    world = TimedWorld(on_order(), seconds=lambda _: 0.01, partitions=1)
    create = world.api.create
    world.answer_in("team-a", ANSWERS[0])
    process = world.start()
    world.run(3)
    for number in range(300):
        world.publish("order.created", {"order": str(number)})
    book, most = process.stage("submitter").book, 0
    for _ in range(300):
        world.run(2, 0.5)
        checked(process)
        most = max(most, *map(len, book._doubtful.values()), 0)
    assert most == 64
    world.api.create = create  # type: ignore[method-assign]  # as it was
    world.run(20 * 60, 1)
    assert (len(world.created), world.letters()) == (300, [])


def checked(process: Process) -> Counter[RunState]:
    """Hold the places of a process's runs against their states; return how many are in each."""
    submitter = process.stage("submitter")
    assert isinstance(submitter, Submitter)
    book, states = submitter.book, Counter[RunState]()
    lanes = book.lanes._lanes.values()
    queued = [run for lane in lanes for run in lane.queue]
    doubtful = [run for runs in book._doubtful.values() for run in runs]
    in_memory = [run for ledger in book.ledger.values() for run in ledger.open.values()]
    assert not book.begun
    assert not book._new
    assert all(map(book.owns, [*queued, *doubtful])), "a queue holds a run that is not in memory any more"
    assert {run.state for run in in_memory} <= AT_REST
    assert Counter(queued) == Counter(run for run in in_memory if run.state is RunState.QUEUED)
    assert Counter(doubtful) == Counter(run for run in in_memory if run.state is RunState.DOUBTFUL)
    with_workers = sum(run.state in (RunState.ASKING, RunState.SENT) for run in in_memory)
    assert with_workers <= submitter._attempts.under_way
    assert book.lanes._in_memory == len(queued)
    for number, ledger in book.ledger.items():
        assert not {run.run.run_key for run in ledger.waiting_runs.runs()} & set(ledger.open)
        waiting = {waits.lane: (waits.queued, waits.put_off, waits.size) for waits in ledger.waiting_runs.waiting()}
        counted = {lane.key[1]: (lane.shelved, lane.put_off, lane.size) for lane in lanes if lane.key[0] == number}
        assert {name: counts for name, counts in counted.items() if counts != (0, 0, 0)} == waiting
        states.update(run.state for run in ledger.waiting_runs.runs())
    states.update(run.state for run in in_memory)
    return states
