"""A trigger: a condition on events and the run that it starts, checked and complete.

Where a trigger was written (a file, a custom resource) is not known here. Each source compiles to this one shape, and
has refused before all that makes no sense. A trigger is plain data: its expressions are CEL texts, which
:mod:`bridge.core.definition` compiles once.

Two hashes follow from it. The *condition hash* covers all that decides which events make a match. Windows belong to it,
so that a changed condition starts with empty windows. The *definition hash* covers everything. Arrivals carry it.

Both are taken of the trigger's JSON form (:meth:`Trigger.to_json`), with sorted names and no spaces: SHA-256, the first
20 hex digits. That form is stable: all fields of version 0.1.0 stand in it, and a field that came later (:func:`later`)
stands in it only where it differs from its default. So a release that adds a field changes no hash, drops no window,
and is read by the release before wherever the new field is not used.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cache
from typing import Any, Literal, TypeAlias
from weakref import WeakValueDictionary

from bridge.core.event import MINUTE, Micros
from bridge.core.runs.field_parameters import FieldParameter
from bridge.core.windows.boundaries import longest_step, schedule_fault

Collect = Literal["latest", "first", "all"]
Order = Literal["any", "sequence"]
WindowKind: TypeAlias = str
"""The name of a kind of window: a key of :data:`bridge.core.windows.kinds.all_kinds.KINDS`."""
_HASH_LENGTH = 20  # hex digits: 80 bits, among a few thousand definitions


_LATER = {"later": True}
_UNWRITTEN = {"unwritten": True}


def _follows() -> Any:
    """Return the dataclass field for something that follows from the other fields."""
    return field(init=False, repr=False, compare=False, metadata=_UNWRITTEN)


GRACE_SHARE = 10
"""The default grace is the window divided by this, and a minute at least."""

CALENDAR_GRACE: Micros = 5 * MINUTE
"""The default grace of a calendar window is no more than this."""


def later(default: Any) -> Any:
    """Return the dataclass field for something that version 0.1.0 did not have, with its immutable default."""
    return field(default=default, metadata=_LATER)


def plain_json(value: Any) -> Any:
    """Return dataclasses, and tuples of them, as plain JSON values; fields that came later only if they are set."""
    if isinstance(value, tuple | list):
        return [plain_json(item) for item in value]
    kind: Any = type(value)
    items = _written(kind)
    if items is None:
        return value
    plain = {}
    for name, is_later, default in items:
        content = getattr(value, name)
        if not (is_later and content == default):
            plain[name] = plain_json(content)
    return plain


@cache
def _written(kind: type) -> tuple[tuple[str, bool, Any], ...] | None:
    """Return the fields of a dataclass that are written: name, whether it came later, default; None of other types."""
    if not is_dataclass(kind):
        return None
    written = [item for item in fields(kind) if not item.metadata.get("unwritten")]
    return tuple((item.name, item.metadata.get("later", False), item.default) for item in written)


@dataclass(frozen=True, slots=True)
class Slot:
    """One place in a condition that an event can fill.

    Attributes:
        event: Name of the events that may fill it.
        variable: Its name in CEL: the ``as`` of the file, or the event's name with ``_`` for ``.``, ``-`` and others.
        where: CEL over ``payload`` and ``event`` that must be true; None lets every event pass.
        key: CEL over the same for the correlation key; None for a trigger without one.
        parameters: Workflow parameter and the path of the payload field that fills it (``customer.id``).
        count: How many distinct events fill it.
        absent: The condition holds only when no event comes to it.
        shared_topic: The topic that its events share with those of other names; None where they have their own.

    """

    event: str
    variable: str
    where: str | None = None
    key: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    count: int = 1
    absent: bool = False
    shared_topic: str | None = later(None)


@dataclass(frozen=True, slots=True)
class Schedule:
    """Boundaries in the calendar of a time zone: ``every`` so long, or at the times of a cron expression.

    Attributes:
        timezone: IANA name.
        every: Distance of two boundaries; None for a cron expression.
        offset: How much later than the calendar's own boundaries they lie; with ``every`` only.
        cron: Five fields; None with ``every``.

    """

    timezone: str = "UTC"
    every: Micros | None = None
    offset: Micros = 0
    cron: str | None = None


@dataclass(frozen=True, slots=True)
class WindowPlan:
    """How long the arrivals of a match wait for each other, and how the wait ends.

    Attributes:
        kind: ``within``: newest minus oldest event time is at most ``length``. ``every`` and ``until``: event times
            lie between the same two boundaries of ``schedule``. ``session``: event times follow each other by at most
            ``length``. ``batch``: ``size`` arrivals, or all that came in ``length`` of reached time after the first.
            ``settle``: all that came until none came for ``length`` of reached time.
        length: The duration above; 0 for a calendar window, and for a batch without a wait.
        schedule: Boundaries of a calendar window.
        size: Size of a batch; None for no bound.
        max_wait: Reached time after the first arrival at which a session or settling window ends in any case.
        reset: Boundaries of event time that a match cannot span. Arrivals that wait at a boundary are forgotten.

    """

    kind: WindowKind
    length: Micros = 0
    schedule: Schedule | None = None
    size: int | None = None
    max_wait: Micros | None = None
    reset: Schedule | None = None


@dataclass(frozen=True, slots=True)
class RunLimits:
    """How many runs of a trigger are created. Further runs wait in the ledger.

    Attributes:
        rate: Creates in ``per``, None for no bound.
        per: The time that ``rate`` is counted in.
        storm: More runs than this asked for in ``storm_within`` hold the trigger; None for no bound.
        storm_within: The time that ``storm`` is counted in.

    """

    rate: int | None = None
    per: Micros = 1_000_000
    storm: int | None = None
    storm_within: Micros = 0


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The run that a match asks for.

    Attributes:
        template: WorkflowTemplate to run.
        namespace: Namespace of the template and of its Workflows.
        parameters: Workflow parameter and CEL over the match (a variable a slot).
        labels: Labels of the Workflow.
        annotations: Annotations of the Workflow.
        id: CEL over the match for its identity; None for the default, the identities of its events.
        allow_template_tags: Let string parameters hold ``{{``, which Argo's templating evaluates.
        limits: How many are created.
        start_deadline: A run older than this, by reached time, is skipped; None for never.
        synchronization: JSON text of the Workflow's ``spec.synchronization``, which Argo queues by; None for none.
        emits: Names of the events that its Workflows publish, as far as its owner says: for finding cycles.
        texts: Workflow parameters, in order, and the texts that they have without an event; None for none. Only a
            Metaflow Sensor has them, and then neither ``parameters`` nor the slots' own.
        fields: The parameters of ``texts`` that events fill.
        allow_shell: Let the values of ``fields`` hold text that the shell of Metaflow's pod evaluates.

    """

    template: str
    namespace: str
    parameters: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    allow_template_tags: bool = False
    limits: RunLimits = field(default=RunLimits())
    start_deadline: Micros | None = None
    synchronization: str | None = None
    emits: tuple[str, ...] = ()
    texts: tuple[tuple[str, str | None], ...] = ()
    fields: tuple[FieldParameter, ...] = ()
    allow_shell: bool = False


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Trigger:
    """A condition on events and the run that it starts.

    Attributes:
        namespace: Namespace of the trigger; with ``name`` its identity.
        name: Name of the trigger.
        slots: The places to fill, one or more.
        run: The run that a match asks for.
        require: How many slots a match fills, of those that are not ``absent``.
        order: Whether event times follow the order of the slots.
        window: How long arrivals wait; None for a trigger of which each event is a match.
        grace: How much later than its partners an event may reach us and still count.
        dedupe: How long after its last use an event's identity is remembered.
        collect: Which arrivals a match takes.
        suspend: Events are decided ``suspended`` instead.
        start_from: Where a topic that is new to the bridge is begun: ``now``, ``earliest``, or a moment.
        future: How far ahead of its record's timestamp an event time may be.
        sensitive: Payload fields (dotted paths) whose values no decision shows.
        written_grace: The ``grace`` of the JSON form (:func:`tenth_grace`); None where that is the same.
        identity: ``namespace/name``. It and all below follow from the others, and are asked for at each event.
        is_windowed: Arrivals must wait for others; if not, each event that passes is a match.
        within: Newest minus oldest event time of a match; None where another rule brings events together.
        span: How far apart two events of a match may reach us: ``within`` and ``grace``.
        absent_slots: The indices of the slots whose events cancel.
        is_plain: It is a sliding window of single events in any order, with nothing absent and no reset.
        is_switch: It is a dead man's switch: nothing but absent slots, watched frame by frame.

    """

    namespace: str
    name: str
    slots: tuple[Slot, ...]
    run: RunPlan
    require: int
    order: Order = "any"
    window: WindowPlan | None = None
    grace: Micros = 0
    dedupe: Micros = 0
    collect: Collect = "latest"
    suspend: bool = False
    start_from: Literal["now", "earliest"] | Micros = "now"
    future: Micros = field(default=3_600_000_000)
    sensitive: tuple[str, ...] = ()
    written_grace: Micros | None = field(default=None, metadata=_UNWRITTEN)
    identity: str = _follows()
    is_windowed: bool = _follows()
    within: Micros | None = _follows()
    span: Micros = _follows()
    absent_slots: tuple[int, ...] = _follows()
    is_plain: bool = _follows()
    is_switch: bool = _follows()
    _condition_hash: str = _follows()
    _definition_hash: str = _follows()

    def __post_init__(self) -> None:
        """Set what follows from the other fields."""
        window = self.window
        is_sliding = window is not None and window.kind == "within"
        is_single = not any(slot.absent or slot.count > 1 for slot in self.slots)
        absent = tuple(index for index, slot in enumerate(self.slots) if slot.absent)
        within = window.length if window is not None and is_sliding else None
        has_reset = window is not None and window.reset is not None
        self._set("identity", f"{self.namespace}/{self.name}")
        self._set("is_windowed", window is not None)
        self._set("within", within)
        self._set("span", (within or 0) + self.grace)
        self._set("absent_slots", absent)
        self._set("is_plain", is_sliding and is_single and self.order == "any" and not has_reset)
        self._set("is_switch", len(absent) == len(self.slots))
        self._set("_condition_hash", "")
        self._set("_definition_hash", "")

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def shared(self) -> Trigger:
        """Return one object for all triggers of the process that are equal: a source and the stages each read one."""
        known = _shared.setdefault(self.definition_hash, self)
        return known if known == self else self

    def hiding(self, sensitive: tuple[str, ...]) -> Trigger:
        """Return the trigger with further payload fields that no decision shows; itself if it hides them already."""
        fields = tuple(dict.fromkeys((*self.sensitive, *sensitive)))
        return self if fields == self.sensitive else replace(self, sensitive=fields)

    @property
    def is_default_mapped(self) -> bool:
        """Tell whether the WorkflowTemplate's parameters take the payload fields of the same names."""
        only = self.slots[0]
        return len(self.slots) == 1 and not (self.run.parameters or self.run.texts or only.parameters or only.absent)

    @property
    def events(self) -> tuple[str, ...]:
        """Return the names of the events that it reads, each once, in slot order."""
        return tuple(dict.fromkeys(slot.event for slot in self.slots))

    @property
    def condition_hash(self) -> str:
        """Return the hash of all that decides which events make a match: 20 hex digits."""
        if not self._condition_hash:
            condition = self.to_json()
            for part in ("run", "suspend", "start_from", "future", "sensitive"):
                del condition[part]
            for slot in condition["slots"]:
                del slot["parameters"]
            self._set("_condition_hash", _digest({**condition, "id": self.run.id}))
        return self._condition_hash

    @property
    def definition_hash(self) -> str:
        """Return the hash of the whole: 20 hex digits."""
        if not self._definition_hash:
            self._set("_definition_hash", _digest(self.to_json()))
        return self._definition_hash

    def to_json(self) -> dict[str, Any]:
        """Return the trigger as plain JSON values, for :meth:`from_json`."""
        plain: dict[str, Any] = plain_json(self)
        if self.written_grace is not None:
            plain["grace"] = self.written_grace
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Trigger:
        """Return the trigger that :meth:`to_json` gave.

        Raises:
            TypeError: A field is missing, or this version does not know one.

        """
        slots = tuple(Slot(**{**slot, "parameters": _pairs(slot["parameters"])}) for slot in plain["slots"])
        window, part = None, plain["window"]
        if part is not None:
            schedules = {name: Schedule(**part[name]) if part[name] else None for name in ("schedule", "reset")}
            window = WindowPlan(**{**part, **schedules})
        part = plain["run"]
        lists: dict[str, Any] = {name: _pairs(part[name]) for name in ("parameters", "labels", "annotations")}
        lists["emits"] = tuple(part["emits"])
        lists["texts"] = tuple((name, text) for name, text in part["texts"])
        lists["fields"] = tuple(FieldParameter(**field) for field in part["fields"])
        run = RunPlan(**{**part, **lists, "limits": RunLimits(**part["limits"])})
        new = cls(**{**plain, "slots": slots, "sensitive": tuple(plain["sensitive"]), "run": run, "window": window})
        if window is None or window.schedule is None or new.grace <= CALENDAR_GRACE:
            return new
        if schedule_fault(window.schedule) is not None or new.grace != tenth_grace(window):
            return new
        return replace(new, grace=CALENDAR_GRACE, written_grace=new.grace)


_shared: WeakValueDictionary[str, Trigger] = WeakValueDictionary()  # by definition hash


def tenth_grace(window: WindowPlan) -> Micros:
    """Return a tenth of a window, and a minute at least: the default grace of version 0.1.0.

    It still stands in the JSON form of a trigger whose grace is the default. So that form, its hashes and the windows
    that belong to them are the same in both versions, and a window that is open during an upgrade stays open.
    """
    length = longest_step(window.schedule) if window.schedule is not None else window.length
    return max(MINUTE, length // GRACE_SHARE)


def default_grace(window: WindowPlan) -> Micros:
    """Return how much later than its partners an event may reach us where the trigger does not say it.

    In a calendar window, which people do not expect to last for long after its end, that is :data:`CALENDAR_GRACE` at
    most.
    """
    grace = tenth_grace(window)
    return min(grace, CALENDAR_GRACE) if window.schedule is not None else grace


def _pairs(plain: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in plain)


def _digest(plain: dict[str, Any]) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_LENGTH]
