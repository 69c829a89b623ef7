"""The source of triggers in files and folders. Each reading reads all files whole, and returns errors as values.

A folder is read with those below it, ``*.yaml`` and ``*.yml``. Names that start with a dot are left out. A mounted
ConfigMap needs this, because its files are links into a hidden ``..data``.

A file is read again when its inode, its size or a time of its last change differs. Those times are as coarse as the
clock of a file system, up to two seconds. So files that have changed are read at each reading until they have been the
same for a while. More than 500 files that are the same are examined less often: a thousand every two seconds, and any
number at least every five. So an idle process spends little on them.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from bridge.core.trigger import Trigger
from bridge.triggers.checks.event_types import Schemas
from bridge.triggers.errors import Origin, TriggerError
from bridge.triggers.resources import LoadedTrigger, namespace_misfits, read_text
from bridge.triggers.sensors.compile import SensorRules
from bridge.triggers.sources.source import Sources, TriggerSource, rival_error

STDIN = "-"
"""The path that stands for standard input, where a caller offers it."""
SUFFIXES = (".yaml", ".yml")
FILE_LIMIT = 10_000
"""Files in one folder."""
SIZE_LIMIT = 4 * 1_048_576
"""Bytes in a file."""

_SETTLED = 5.0  # seconds after which a change shows in the times of its file
_FEW = 500  # files that are examined at each reading
_PACE_OF_A_FILE, _LONGEST_PACE = 0.004, 5.0  # seconds until the next look: for each file beyond these, and at most

FileStates = tuple[tuple[str, int, int, int, int], ...]
"""Path, inode, both times of the last change in nanoseconds, and size of each file."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What files and folders held at one moment.

    Attributes:
        loaded: The triggers and their origins. If several have one identity, the first of them.
        rivals: The other triggers with the identity of an earlier one.
        errors: Everything that was wrong.
        complete: The trigger behind every error is known. If it is not, no trigger may be taken for deleted.
        silent: Configured paths that were missing or held no file with text. Their triggers are not deleted.
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
        """Return the triggers without their origins."""
        return tuple(loaded.trigger for loaded in self.loaded)


class TriggerFolder:
    """The configured files and folders of triggers.

    Args:
        paths: Files and folders.
        namespace: Namespace of triggers that name none.
        sensors: Rules for Sensors in files; None to refuse them.
        stdin: The stream that the path ``-`` reads; None to treat ``-`` as a file's path.
        schemas: The known Avro schemas, by event name.
        namespaces: Namespaces that files may name; empty for any. Sensors have their own rules.
        clock: A steady clock, in seconds.

    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        namespace: str,
        sensors: SensorRules | None = None,
        stdin: BinaryIO | None = None,
        schemas: Schemas | None = None,
        namespaces: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._paths = tuple(str(path) for path in paths)
        self._stdin = stdin
        self._namespace = namespace
        self._sensors = sensors
        self._schemas = schemas
        self._namespaces = namespaces
        self._clock = clock
        self._digest = b""
        self._reading = Reading(complete=False)
        self._states: FileStates | None = None
        self._seen = 0.0  # since when the files have these states
        self._is_sure = False  # the files were read after they had settled
        self._next_look = 0.0

    def read(self) -> Reading:
        """Return the triggers that are there now. Return the same object as before if no byte has changed."""
        if self._is_sure and self._clock() < self._next_look:
            return self._reading
        listed: list[TriggerError] = []
        files = {root: [] if root == STDIN and self._stdin else list(_files(root, listed)) for root in self._paths}
        states = None if listed else _states_of(files)
        now = self._clock()
        self._next_look = now + min(_PACE_OF_A_FILE * max(0, len(states or ()) - _FEW), _LONGEST_PACE)
        if states is None or states != self._states:
            self._states, self._seen, self._is_sure = states, now, False
        elif self._is_sure:
            return self._reading
        contents, errors, silent = self._contents(files, listed)
        self._is_sure = states is not None and not errors and now - self._seen >= _SETTLED
        digest = hashlib.sha256(repr((sorted(contents), sorted(errors), sorted(silent))).encode()).digest()
        if digest != self._digest:
            self._digest = digest
            self._reading = self._read(contents, errors, silent)
        return self._reading

    def _contents(
        self, files: Mapping[str, Sequence[str]], listed: Sequence[TriggerError]
    ) -> tuple[list[tuple[str, str, str]], list[TriggerError], set[str]]:
        """Return (root, file, text) of each file that could be read, the errors, and the roots that are silent."""
        contents: dict[str, tuple[str, str, str]] = {}
        errors = list(listed)
        silent: set[str] = set()
        for root in self._paths:
            has_text = False
            if root == STDIN and self._stdin is not None:
                text = _decoded(self._stdin.read(SIZE_LIMIT + 1), "<stdin>", errors)
                if text:
                    contents[root] = (root, "<stdin>", text)
                continue
            for file in files[root]:
                try:
                    with Path(file).open("rb") as opened:
                        content = opened.read(SIZE_LIMIT + 1)
                except OSError as error:
                    errors.append(
                        TriggerError(Origin(file, 1), "", f"cannot be read: {error.strerror}", "make it readable")
                    )
                    continue
                text = _decoded(content, file, errors)
                if text:
                    has_text = True
                    contents.setdefault(os.path.realpath(file), (root, file, text))
            if not has_text:
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
                    found_errors.append(rival_error(trigger, first))
        return Reading(
            loaded=tuple(loaded.values()),
            rivals=tuple(rivals),
            errors=tuple(found_errors),
            complete=all(error.trigger for error in found_errors if error.origin.file not in silent),
            silent=frozenset(silent),
            seen_files=frozenset(file for _, file, _ in contents),
            left_alone=tuple(left_alone),
        )


class FileSource(TriggerSource):
    """Files and folders as a source of triggers.

    Args:
        paths: Files and folders.
        namespace: Namespace of triggers that name none.
        schemas: The known Avro schemas, by event name.
        namespaces: Namespaces that files may name; empty for any. A trigger in another namespace is refused. One that
            is in force already is retired, so in this case a wrong file keeps nothing.

    """

    def __init__(
        self,
        paths: Sequence[str | Path],
        namespace: str,
        schemas: Schemas | None = None,
        namespaces: Collection[str] = (),
    ) -> None:
        self._roots = [str(path) for path in paths]
        self._namespaces = namespaces
        self._folder = TriggerFolder(paths, namespace, schemas=schemas, namespaces=namespaces)
        self._last: tuple[Reading, Mapping[str, LoadedTrigger], Sources] | None = None

    def read(self, in_force: Mapping[str, LoadedTrigger]) -> Sources:
        """Return the triggers of the files, and those kept from broken files (:meth:`TriggerSource.read`)."""
        reading = self._folder.read()
        if self._last is not None and self._last[0] is reading and self._last[1] is in_force:
            return self._last[2]
        before = [
            self._under_root(known, reading)
            for known in in_force.values()
            if known.origin.line and not namespace_misfits(known.trigger, self._namespaces)
        ]
        # A file that cannot be read may hold a trigger that stood under another path before.
        merged = merge([loaded for loaded in before if loaded.root or not reading.complete], reading)
        # Each path without a trigger file gets an error, unless an error of the reading names it or a file below it.
        named = {
            place
            for error in reading.errors
            for place in (error.origin.file, *map(str, Path(error.origin.file).parents))
        }
        found, expected = "it holds no trigger file", "write one; until then what came from here before stays in force"
        silences = [TriggerError(Origin(path, 1), "", found, expected) for path in sorted(reading.silent - named)]
        sources = Sources(merged, [*reading.errors, *silences])
        self._last = reading, in_force, sources
        return sources

    def _under_root(self, known: LoadedTrigger, reading: Reading) -> LoadedTrigger:
        """Return a trigger of a file with the configured path above this file.

        If no configured path is above it, the trigger counts as one of a path that is silent now, because its folder
        may be mounted there now. While all paths hold files, such a trigger has no path. It is gone once all files were
        read.
        """
        file = known.origin.file
        roots = (root for root in self._roots if file == root or Path(root) in Path(file).parents)
        root = next(roots, min(reading.silent, default=""))
        return replace(known, root=root)


def merge(last_known: Sequence[LoadedTrigger], reading: Reading) -> tuple[LoadedTrigger, ...]:
    """Return the triggers that are in force after ``reading``, sorted by identity; ``last_known`` were before.

    A trigger that was read without an error is in force as read. A trigger that is missing is gone only if three things
    hold: the reading is complete, no error names the trigger or its file, and the path that it came from still holds a
    file. If two triggers have one identity, the one in force stays. If neither is in force, the first wins.
    """
    in_force = {loaded.trigger.identity: loaded for loaded in reading.loaded}
    unsure = {error.trigger for error in reading.errors} | {error.origin.file for error in reading.errors}
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


def _files(root: str, errors: list[TriggerError]) -> Iterator[str]:
    """Yield the files of a configured path in sorted order. A path that does not exist is an error."""
    if not Path(root).is_dir():
        if Path(root).exists():
            yield root
        else:
            errors.append(TriggerError(Origin(root, 1), "", "there is no such file or folder", "name one that exists"))
        return
    unreadable: list[OSError] = []
    count = 0
    for folder, folders, names in os.walk(root, onerror=unreadable.append, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        prefix = str(Path(folder, "-"))[:-1]  # a path is joined for each file, once a second
        for name in sorted(names):
            if name.startswith(".") or not name.endswith(SUFFIXES):
                continue
            count += 1
            if count > FILE_LIMIT:
                errors.append(
                    TriggerError(Origin(root, 1), "", f"more than {FILE_LIMIT} files", "name a smaller folder")
                )
                return
            yield prefix + name
    errors += [
        TriggerError(Origin(str(failure.filename), 1), "", f"cannot be read: {failure.strerror}", "make it readable")
        for failure in unreadable
    ]


def _states_of(files: Mapping[str, Sequence[str]]) -> FileStates | None:
    """Return the states of files by root; None if a root has no file, or a file cannot be examined."""
    states = []
    for some in files.values():
        if not some:
            return None
        for file in some:
            try:
                status = os.stat(file)  # noqa: PTH116 - once a second for each file
            except OSError:
                return None
            states.append((file, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size))
    return tuple(states)


def _decoded(content: bytes, file: str, errors: list[TriggerError]) -> str:
    """Return the text of a file; empty, with an error, if it is too large, is not UTF-8 or has no text."""
    expected = "write YAML in UTF-8"
    if len(content) > SIZE_LIMIT:
        errors.append(TriggerError(Origin(file, 1), "", f"more than {SIZE_LIMIT} bytes", "split it"))
        return ""
    try:
        text = content.decode("utf-8-sig")
        if text.strip():
            return text
        found = "the file is empty"
        expected = "write a trigger, or delete the file"
    except UnicodeDecodeError as error:
        found = f"no UTF-8 at byte {error.start}"
    errors.append(TriggerError(Origin(file, 1), "", found, expected))
    return ""
