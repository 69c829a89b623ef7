"""``flowbridge dead-letters export | import``: dead letters in files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from bridge.cli.letters.choosing import chosen, letter_log
from bridge.cli.letters.desk import desk
from bridge.cli.letters.showing import payload_of
from bridge.cli.output import Output
from bridge.errors import ExitCode, UsageError
from bridge.letters.letter import Choice, Letter, LetterState
from bridge.letters.letter_file import LetterFileError, letters_of, line_of
from bridge.letters.letter_log import LetterOwner
from bridge.replay.replays import user_and_machine
from bridge.settings.settings import Settings

_AT_ONCE = 200  # letters that are added in one transaction, and
_BYTES = 8 * 1024 * 1024  # the bytes of their values


def execute_export(*, letters: tuple[str, ...], file: Path | None, settings: Settings, **options: Any) -> int:
    """Write letters as JSON lines; a file is there whole, or not at all."""
    choice = chosen(settings, letters, **options)
    with desk(settings, choice, asks_cluster=False) as place:
        lines = (line_of(letter, payload_of(place, letter)) for letter in place.letters.read(choice))
        if file is None:
            for line in lines:
                click.echo(line)
            return ExitCode.OK
        new = file.with_name(f".{file.name}.new")
        try:
            with new.open("w", encoding="utf-8") as out:
                count = 0
                for line in lines:
                    out.write(f"{line}\n")
                    count += 1
            new.replace(file)
        except OSError as error:
            raise UsageError(f"--file: {file} cannot be written: {error.strerror}", "name a file that can be") from None
        finally:
            new.unlink(missing_ok=True)
        click.echo(f"{count} letters are in {file}", err=True)
    return ExitCode.OK


def execute_import(*, file: Path, settings: Settings, output: Output) -> int:
    """Add the letters of a file. All of it is read first: a file with a fault adds nothing."""
    new = list(_read(file))
    with letter_log(settings) as (log, topics, letters), closing(LetterOwner(log, topics, user_and_machine())) as owner:
        known = {each.identity for each in letters.read(Choice(states=frozenset(LetterState)), is_current=True)}
        added = 0
        batch: list[Letter] = []
        size = 0
        for letter in new:
            if letter.identity in known:
                continue
            known.add(letter.identity)
            batch.append(letter)
            size += len(letter.record.value or b"")
            if len(batch) >= _AT_ONCE or size >= _BYTES:
                owner.add(batch)
                added += len(batch)
                batch, size = [], 0
        if batch:
            owner.add(batch)
            added += len(batch)
        text = f"{added} letters were added; {len(new) - added} are there already"
        output.result(text, {"kind": "imported", "added": added, "known": len(new) - added})
    return ExitCode.OK


def _read(file: Path) -> Iterator[Letter]:
    try:
        if str(file) == "-":
            yield from letters_of(sys.stdin.buffer)
            return
        with file.open("rb") as lines:
            yield from letters_of(lines)
    except LetterFileError as error:
        raise UsageError(f"{file}:{error.line}: {error.found}", "docs/dead-letters.md shows the format") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "name a file that export wrote") from None
