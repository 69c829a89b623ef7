"""Bulkheads: each namespace has its share of the workers and its own circuit breaker, so none stops another's runs.

A worker is in the cluster for as long as the cluster takes to answer. That is milliseconds where all is well, and ten
seconds where a webhook hangs. So the rules tell *quick* requests from *slow* ones, which have been under way for more
than a second:

- At most ``concurrency`` requests are quick at a time. This bounds the load on the API server.
- Slow ones do not count there, since the API server does nothing for them but wait. With them there are at most twice
  as many workers.
- A namespace with slow requests has at most half of ``concurrency`` while others have work, and leaves some workers
  free in any case. A namespace that is alone has them all.
- Namespaces with work take turns.

A breaker opens when the requests of many runs of a namespace fail in a row. Then one request at a time probes, after
pauses that grow. The first success closes the breaker. One bad run never opens it, however often it fails. *Looks* for
runs in doubt do not create anything, and have to come before a Workflow may have come and gone. So they wait for no
breaker and for no slow create, and say nothing about either. A namespace has one at a time, so they cost little. The
*cluster* is in trouble when every namespace that has work is behind an open breaker. When requests do not even get to
the API server, one request at a time probes for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import Executor
from random import Random
from threading import RLock

from bridge.argo.backoff import Backoff
from bridge.core.event import SECOND, Micros
from bridge.stages.submitter.open_run import OpenRun

SLOW_AFTER: Micros = SECOND
"""A request that has been under way for so long no longer counts against ``concurrency``."""

AHEAD = 32
"""Intents for each quick request, shared by namespaces: a second or two of work, so that many share a transaction."""

_AHEAD_OF_SLOW = 4  # the same for a namespace whose requests take long

_PACE = Backoff(first=0.5, longest=5.0)


class Job:
    """A worker's task: work about one run."""

    def __init__(
        self, run: OpenRun, work: Callable[[], None], end: Callable[[Job], None], *, is_look: bool = False
    ) -> None:
        self.run = run
        self.is_look = is_look
        self.since: Micros = 0  # when a worker was given it
        self._work = work
        self._end = end

    def __call__(self) -> None:
        """Do the work, and free the worker for other work."""
        try:
            self._work()
        finally:
            self._end(self)


class _Bulkhead:
    """The work and the health of one namespace."""

    def __init__(self) -> None:
        self.queue: deque[Job] = deque()
        self.working: set[Job] = set()
        self.looks: deque[Job] = deque()
        self.looking: set[Job] = set()
        self.last_took: Micros = 0  # how long the last request took
        self.failing: set[str] = set()  # runs that failed since the last success
        self.rounds = 0  # how often the breaker opened since the last success
        self.opens_at: Micros = 0  # when the next probe may go
        self.was_reached = False  # some failure since the last success was the API server's answer, or lack of one

    @property
    def is_broken(self) -> bool:
        """Return whether its breaker is open."""
        return self.rounds > 0

    @property
    def is_busy(self) -> bool:
        """Return whether it has work."""
        return bool(self.queue or self.working or self.looks or self.looking)

    def is_slow(self, now: Micros) -> bool:
        """Return whether its requests would keep workers busy for long."""
        return (
            self.is_broken or self.last_took > SLOW_AFTER or any(now - job.since > SLOW_AFTER for job in self.working)
        )


class Bulkheads:
    """The workers of a process. Safe for several threads.

    Args:
        executor: Runs the work: ``workers_for(concurrency)`` threads.
        concurrency: Quick requests at a time.
        clock: The process's clock.
        random: Where jitter comes from.

    """

    def __init__(self, executor: Executor, concurrency: int, clock: Callable[[], Micros], random: Random) -> None:
        self._executor = executor
        self._concurrency = concurrency
        self._workers = workers_for(concurrency)
        self._clock = clock
        self._random = random
        self._threshold = max(2, concurrency)
        self._bulkheads: dict[str, _Bulkhead] = {}  # in the order of their turns
        self._lock = RLock()
        self._is_giving = False
        self._is_closed = False

    # -- work ----------------------------------------------------------------------------------------------------------

    def submit(self, run: OpenRun, work: Callable[[], None], *, is_look: bool = False) -> None:
        """Have work about a run done as soon as its namespace has a worker for it.

        Args:
            run: The run.
            work: The work.
            is_look: It only looks for the run's Workflow.

        """
        with self._lock:
            bulkhead = self._of(run.run.namespace)
            (bulkhead.looks if is_look else bulkhead.queue).append(Job(run, work, self._ended, is_look=is_look))
        self.look()

    def look(self) -> None:
        """Give work to workers that are free. Time alone can free some, so this is called often."""
        with self._lock:
            if self._is_giving:  # an executor that does the work at once comes back here
                return
            self._is_giving = True
            try:
                while (job := self._next(self._clock())) is not None:
                    self._executor.submit(job)
            finally:
                self._is_giving = False

    def withdraw(self, partitions: Collection[int]) -> list[OpenRun]:
        """Take back the work about runs of partitions that no worker has begun; return the runs."""
        withdrawn = []
        with self._lock:
            for bulkhead in self._bulkheads.values():
                for queue in (bulkhead.queue, bulkhead.looks):
                    kept = [job for job in queue if job.run.partition not in partitions]
                    withdrawn += [job.run for job in queue if job.run.partition in partitions]
                    queue.clear()
                    queue.extend(kept)
        return withdrawn

    def is_quick(self, partitions: Collection[int]) -> bool:
        """Return whether workers have runs of partitions and are expected back within a second."""
        now = self._clock()
        with self._lock:
            working = [job for bulkhead in self._bulkheads.values() for job in bulkhead.working | bulkhead.looking]
        return any(now - job.since <= SLOW_AFTER for job in working if job.run.partition in partitions)

    def close(self) -> None:
        """Give out no more work; the work that workers have goes on."""
        with self._lock:
            self._is_closed = True

    def _next(self, now: Micros) -> Job | None:
        working = [job for bulkhead in self._bulkheads.values() for job in bulkhead.working | bulkhead.looking]
        quick = sum(now - job.since <= SLOW_AFTER for job in working)
        if self._is_closed or quick >= self._concurrency or len(working) >= self._workers:
            return None
        for bulkhead in self._bulkheads.values():
            if bulkhead.looks and not bulkhead.looking:
                job = bulkhead.looks.popleft()
                job.since = now
                bulkhead.looking.add(job)
                return job
        if working and self._is_down(lambda bulkhead: not bulkhead.was_reached):
            return None
        busy = sum(bulkhead.is_busy for bulkhead in self._bulkheads.values())
        half = max(1, self._concurrency // 2)
        for namespace, bulkhead in self._bulkheads.items():
            if not bulkhead.queue or (bulkhead.is_broken and (bulkhead.working or now < bulkhead.opens_at)):
                continue
            is_slow = bulkhead.is_slow(now)
            share = half if is_slow and busy > 1 else self._concurrency
            if len(bulkhead.working) >= share or (is_slow and busy > 1 and len(working) >= self._workers - half):
                continue
            job = bulkhead.queue.popleft()
            job.since = now
            bulkhead.working.add(job)
            self._bulkheads[namespace] = self._bulkheads.pop(namespace)  # to the end of the turns
            return job
        return None

    def _ended(self, job: Job) -> None:
        with self._lock:
            bulkhead = self._of(job.run.run.namespace)
            if job.is_look:
                bulkhead.looking.discard(job)
            else:
                bulkhead.working.discard(job)
                bulkhead.last_took = self._clock() - job.since
            self._forget_idle(job.run.run.namespace)
        self.look()

    # -- health --------------------------------------------------------------------------------------------------------

    def failed(self, run: OpenRun, now: Micros, *, was_reached: bool) -> None:
        """Note that a request for a run failed in a way that may be its namespace's or the cluster's.

        Args:
            run: The run.
            now: The process's time.
            was_reached: The API server may have seen the request.

        """
        with self._lock:
            bulkhead = self._of(run.run.namespace)
            if len(bulkhead.failing) < self._threshold:
                bulkhead.failing.add(run.run.run_key)
            bulkhead.was_reached = bulkhead.was_reached or was_reached
            # Requests that were under way when the breaker opened fail as well: they say nothing new.
            if len(bulkhead.failing) >= self._threshold and now >= bulkhead.opens_at:
                bulkhead.rounds += 1
                bulkhead.opens_at = now + round(_PACE.delay(bulkhead.rounds, self._random) * SECOND)

    def succeeded(self, run: OpenRun) -> None:
        """Note that a request for a run succeeded: its namespace's breaker closes."""
        with self._lock:
            bulkhead = self._of(run.run.namespace)
            bulkhead.failing.clear()
            bulkhead.rounds, bulkhead.opens_at, bulkhead.was_reached = 0, 0, False
            self._forget_idle(run.run.namespace)

    def free_slots(self, namespace: str, now: Micros) -> int:
        """Return how many more runs of a namespace may be begun."""
        with self._lock:
            bulkhead = self._bulkheads.get(namespace, _Bulkhead())
            pending = len(bulkhead.queue) + len(bulkhead.working)
            if bulkhead.is_broken:
                return 0 if pending or now < bulkhead.opens_at else 1
            if bulkhead.is_slow(now):
                return max(0, _AHEAD_OF_SLOW * self._concurrency - pending)
            quick = sum(other.is_busy and not other.is_slow(now) for other in self._bulkheads.values())
            return max(0, max(self._concurrency, AHEAD * self._concurrency // max(1, quick)) - pending)

    def free_look_slots(self, namespace: str) -> int:
        """Return how many more runs of a namespace may be looked for."""
        with self._lock:
            bulkhead = self._bulkheads.get(namespace, _Bulkhead())
            return max(0, self._concurrency - len(bulkhead.looks) - len(bulkhead.looking))

    def wants(self, namespace: str, now: Micros) -> bool:
        """Return whether a namespace has so little work ahead that more of its runs should be begun."""
        with self._lock:
            bulkhead = self._bulkheads.get(namespace, _Bulkhead())
            free = self.free_slots(namespace, now)
            return free > 0 and free >= len(bulkhead.queue) + len(bulkhead.working)

    def is_healthy(self, namespace: str) -> bool:
        """Return whether a namespace's breaker is closed."""
        with self._lock:
            return not self._bulkheads.get(namespace, _Bulkhead()).is_broken

    def is_unreachable(self) -> bool:
        """Return whether no request gets as far as the API server, so that no namespace can be served."""
        with self._lock:
            return self._is_down(lambda bulkhead: not bulkhead.was_reached)

    def is_cluster_down(self) -> bool:
        """Return whether none of several namespaces with work gets any of it done, or nothing gets there at all."""
        with self._lock:
            several = sum(bulkhead.is_busy or bulkhead.is_broken for bulkhead in self._bulkheads.values()) > 1
            return self._is_down(lambda bulkhead: several or not bulkhead.was_reached)

    def _is_down(self, counts: Callable[[_Bulkhead], bool]) -> bool:
        concerned = [bulkhead for bulkhead in self._bulkheads.values() if bulkhead.is_busy or bulkhead.is_broken]
        return bool(concerned) and all(bulkhead.is_broken and counts(bulkhead) for bulkhead in concerned)

    def _of(self, namespace: str) -> _Bulkhead:
        return self._bulkheads.setdefault(namespace, _Bulkhead())

    def _forget_idle(self, namespace: str) -> None:
        bulkhead = self._bulkheads[namespace]
        if not (bulkhead.is_busy or bulkhead.failing):
            del self._bulkheads[namespace]


def workers_for(concurrency: int) -> int:
    """Return how many threads the workers need: as many again for requests that have become slow."""
    return 2 * concurrency
