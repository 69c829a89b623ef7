"""What tests know about one kind of window: the same parts under the same names for each kind.

The parts are made of the words of the tests that use them: a condition of the simulation
(:mod:`simulation.conditions`), a scene of the drawings, a construct of the end-to-end tests, a story of the stages.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from hypothesis import strategies as st

from bench.material import Measured
from bridge.core.event import Micros
from bridge.core.trigger import Schedule, WindowKind, WindowPlan
from bridge.core.windows.window import Arrival
from drawings.scene import Scene
from drawings.tale import Band
from e2e.constructs import Construct, Plan
from kinds.pages import Pages
from kinds.reference import Reference
from simulation.conditions import Condition
from unit.stages.window_world import Story


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of window.

    Attributes:
        name: The field of ``spec.window`` that chooses it.
        reference: Its rule as the first design tells it.
        pages: Its rule as ``docs/triggers`` tells it.
        plans: Any plan of it, for Hypothesis. Lengths are single digits.
        random_plan: Draws a plan for a story that the pages are asked about, from a length in steps and a ``reset``.
            Its other durations are chosen so that no two ends fall on the same moment.
        takes_absent: Slots may be absent.
        takes_only_absent: All slots may be absent, as in a dead man's switch.
        takes_order: Event times may have to follow the order of the slots in a story that the pages are asked about.
        takes_all: ``collect: all`` makes sense.
        conditions: Random conditions of the simulation, by name.
        scenes: Scenes of the drawings.
        band: Draws a match: its plan, its arrivals and its time. None where the windows of the schedule are drawn.
        constructs: Its constructs for the end-to-end tests.
        measured: The conditions that the bench measures, by name.
        stories: Stories in which the bridge is killed, by name.

    """

    name: WindowKind
    reference: type[Reference]
    pages: type[Pages]
    plans: st.SearchStrategy[WindowPlan]
    random_plan: Callable[[Random, Micros, Schedule | None], WindowPlan]
    takes_absent: bool = False
    takes_only_absent: bool = False
    takes_order: bool = True
    takes_all: bool = True
    conditions: Mapping[str, Condition]
    scenes: Sequence[Scene]
    band: Callable[[WindowPlan, Sequence[Arrival], Micros], Band] | None = None
    constructs: Callable[[Plan], Iterable[Construct]]
    measured: Mapping[str, Measured]
    stories: Mapping[str, Story]
