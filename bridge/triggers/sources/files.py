"""Triggers in files and folders: read whole, each time anew, with errors as values.

A folder is read with all below it, ``*.yaml`` and ``*.yml``. Entries that start with a dot are left out, which is also
what a mounted ConfigMap needs: its files are links into a hidden ``..data``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bridge.core.trigger import Trigger
from bridge.triggers.checks.event_types import Schemas
from bridge.triggers.errors import TriggerError
from bridge.triggers.resources import LoadedTrigger, read_text
from bridge.triggers.sensors.compile import SensorRules

STDIN = "-"
"""The path that stands for standard input, where a caller offers it."""
SUFFIXES = frozenset({".yaml", ".yml"})
FILE_LIMIT = 10_000
"""Files in one folder."""
SIZE_LIMIT = 4 * 1_048_576
"""Bytes in a file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What files and folders held at one moment.

    Attributes:
        loaded: The triggers with where they stand; of several with one identity the first.
        rivals: The others with an identity that one before them has.
        errors: All that was wrong.
        complete: Of all that was read it is known which triggers it is about; else nothing may be taken for deleted.
        silent: Paths given that were missing or held no file with text in it; their triggers are not deleted.
        seen_files: All files that were found.
        left_alone: A note for each Sensor that is not Metaflow's.

    """

    loaded: tuple[LoadedTrigger, ...] = ()
    rivals: tuple[LoadedTrigger, ...] = ()
    errors: tuple[TriggerError, ...] = ()
    complete: bool = True
    silent: frozenset[str] = frozenset()
    seen_files: frozenset[str] = frozenset()
    left_alone: tuple[TriggerError, ...] = ()

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """Return the triggers alone."""
        return tuple(loaded.trigger for loaded in self.loaded)


class TriggerFolder:
    """The files and folders that somebody named as where triggers are.

    Args:
        paths: Files and folders.
        namespace: Namespace of triggers that name none.
        sensors: What holds for Sensors in files; None where they are not taken.
        stdin: What the path ``-`` reads; None where it is a path like others.
        schemas: Avro schemas by event name, as far as they are known.
        namespaces: Namespaces that files may name; empty for any. Sensors have their own rules.

    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        namespace: str,
        sensors: SensorRules | None = None,
        stdin: BinaryIO | None = None,
        schemas: Schemas | None = None,
        namespaces: Collection[str] = (),
    ) -> None:
        self._paths = tuple(str(path) for path in paths)
        self._stdin = stdin
        self._namespace = namespace
        self._sensors = sensors
        self._schemas = schemas
        self._namespaces = namespaces
        self._digest = b""
        self._reading = Reading(complete=False)

    def read(self) -> Reading:
        """Return what is there now; the same object as before while no byte has changed."""
        contents, errors, silent = self._contents()
        digest = hashlib.sha256(repr((sorted(contents), sorted(errors), sorted(silent))).encode()).digest()
        if digest != self._digest:
            self._digest = digest
            self._reading = self._read(contents, errors, silent)
        return self._reading

    def _contents(self) -> tuple[list[tuple[str, str, str]], list[TriggerError], set[str]]:
        """Return (root, file, text) of each file that could be read, the errors, and the roots that are silent."""
        contents: dict[str, tuple[str, str, str]] = {}
        errors: list[TriggerError] = []
        silent: set[str] = set()
        for root in self._paths:
            found = 0
            if root == STDIN and self._stdin is not None:
                text = _decoded(self._stdin.read(SIZE_LIMIT + 1), "<stdin>", errors)
                if text:
                    contents[root] = (root, "<stdin>", text)
                continue
            for file in _files(root, errors):
                text = _text(file, errors)
                found += bool(text)
                if text:
                    contents.setdefault(os.path.realpath(file), (root, file, text))
            if not found:
                silent.add(root)
        return list(contents.values()), errors, silent

    def _read(self, contents: list[tuple[str, str, str]], errors: list[TriggerError], silent: set[str]) -> Reading:
        loaded: dict[str, LoadedTrigger] = {}
        rivals: list[LoadedTrigger] = []
        found_errors = list(errors)
        left_alone: list[TriggerError] = []
        for root, file, text in contents:
            triggers, wrong = read_text(
                text,
                root,
                file,
                self._namespace,
                self._sensors,
                self._schemas,
                left_alone,
                namespaces=self._namespaces,
            )
            found_errors += wrong
            for trigger in triggers:
                first = loaded.setdefault(trigger.trigger.identity, trigger)
                if first is not trigger:
                    rivals.append(trigger)
                    found_errors.append(_twice(trigger, first))
        return Reading(
            loaded=tuple(loaded.values()),
            rivals=tuple(rivals),
            errors=tuple(found_errors),
            complete=all(error.trigger for error in found_errors if error.file not in silent),
            silent=frozenset(silent),
            seen_files=frozenset(file for _, file, _ in contents),
            left_alone=tuple(left_alone),
        )


def merge(last_known: Sequence[LoadedTrigger], reading: Reading) -> tuple[LoadedTrigger, ...]:
    """Return the triggers that are in force after ``reading``, where ``last_known`` were before; sorted by identity.

    What was read well is in force as read. A trigger that is no longer there is gone only if all files say of which
    triggers they are, no error names it or stands in its file, and the path that it came from still holds a file. Of
    two with one identity the one in force stays, otherwise the first counts.
    """
    in_force = {loaded.trigger.identity: loaded for loaded in reading.loaded}
    unsure = {error.trigger for error in reading.errors} | {error.file for error in reading.errors}
    before = {loaded.trigger.identity: loaded for loaded in last_known}
    for rival in reading.rivals:
        holder = before.get(rival.trigger.identity)
        if holder is not None and holder.origin.file == rival.origin.file:
            in_force[rival.trigger.identity] = rival
    for identity, earlier in before.items():
        if (
            not reading.complete
            or earlier.root in reading.silent
            or not unsure.isdisjoint((identity, earlier.origin.file))
        ):
            in_force.setdefault(identity, earlier)
    return tuple(in_force[identity] for identity in sorted(in_force))


def _twice(trigger: LoadedTrigger, first: LoadedTrigger) -> TriggerError:
    identity = trigger.trigger.identity
    found = f"{identity} is also defined at {first.origin}; only one of them is in force"
    return TriggerError(*trigger.origin, "metadata.name", found, "keep one, or give this one another name", identity)


def _files(root: str, errors: list[TriggerError]) -> Iterator[str]:
    """Yield the files of a path that was named, in sorted order; a path that is not there is an error."""
    if not Path(root).is_dir():
        if Path(root).exists():
            yield root
        else:
            errors.append(TriggerError(root, 1, "", "there is no such file or folder", "name one that exists"))
        return
    unreadable: list[OSError] = []
    count = 0
    for folder, folders, names in os.walk(root, onerror=unreadable.append, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.startswith(".") or Path(name).suffix not in SUFFIXES:
                continue
            count += 1
            if count > FILE_LIMIT:
                errors.append(TriggerError(root, 1, "", f"more than {FILE_LIMIT} files", "name a smaller folder"))
                return
            yield str(Path(folder, name))
    errors += [
        TriggerError(str(e.filename), 1, "", f"cannot be read: {e.strerror}", "let us read it") for e in unreadable
    ]


def _text(file: str, errors: list[TriggerError]) -> str:
    """Return the text of a file; empty with an error where there is none to be had."""
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(SIZE_LIMIT + 1)
    except OSError as error:
        errors.append(TriggerError(file, 1, "", f"cannot be read: {error.strerror}", "let us read it"))
        return ""
    return _decoded(content, file, errors)


def _decoded(content: bytes, file: str, errors: list[TriggerError]) -> str:
    right = "write YAML in UTF-8"
    if len(content) > SIZE_LIMIT:
        errors.append(TriggerError(file, 1, "", f"more than {SIZE_LIMIT} bytes", "split it"))
        return ""
    try:
        text = content.decode("utf-8-sig")
        if text.strip():
            return text
        found = "the file is empty"
        right = "write a trigger, or delete the file"
    except UnicodeDecodeError as error:
        found = f"no UTF-8 at byte {error.start}"
    errors.append(TriggerError(file, 1, "", found, right))
    return ""
