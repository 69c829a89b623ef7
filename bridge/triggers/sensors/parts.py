"""The parts of a Sensor: plain JSON values with their paths.

The reader of a Sensor takes nothing for granted and skips nothing. An unknown part is refused, at its path. As for Argo
Events, ``null``, an empty text, an empty list and an empty mapping are the same as nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bridge.triggers.errors import FieldPath, quote_value
from flowbridge_sdk.avro.misfit import MisfitError

REDEPLOY = "deploy the flow again with a current Metaflow, or write a Trigger for it"
"""The advice for a Sensor that is not as Metaflow writes it."""


class SensorMisfitError(MisfitError):
    """A part of a Sensor that is refused.

    Attributes:
        path: Its place in the Sensor.

    """

    def __init__(self, path: FieldPath, found: str, expected: str = REDEPLOY) -> None:
        super().__init__(found, expected)
        self.path = path


@dataclass(frozen=True, slots=True)
class Part:
    """A value in a Sensor.

    Attributes:
        value: Plain JSON.
        path: Its place.

    """

    value: Any
    path: FieldPath = ()

    def __bool__(self) -> bool:
        """Return False for nothing."""
        return self.value not in (None, "", [], {})

    def __getitem__(self, name: str) -> Part:
        """Return the member of that name, which may be nothing.

        Raises:
            SensorMisfitError: This is no mapping.

        """
        if self.value is not None and not isinstance(self.value, dict):
            raise self.misfit("write a mapping")
        return Part((self.value or {}).get(name), (*self.path, name))

    def members(self) -> Iterator[Part]:
        """Yield the members of a list.

        Raises:
            SensorMisfitError: This is no list.

        """
        if self.value is not None and not isinstance(self.value, list):
            raise self.misfit("write a list")
        for index, member in enumerate(self.value or ()):
            yield Part(member, (*self.path, index))

    def only(self, *known: str) -> Part:
        """Return this mapping, which must have no members except ``known``.

        Raises:
            SensorMisfitError: It has another member.

        """
        self[""]  # a mapping, or nothing
        for name in self.value or {}:
            if name not in known and (part := self[name]):
                raise SensorMisfitError(
                    part.path, f"{name!r} is here, which Metaflow does not write", f"remove it, or {REDEPLOY}"
                )
        return self

    def one(self) -> Part:
        """Return the only member of a list.

        Raises:
            SensorMisfitError: There are several members, or none.

        """
        members = list(self.members())
        if len(members) != 1:
            raise SensorMisfitError(self.path, f"{len(members)} entries where Metaflow writes one")
        return members[0]

    def text(self) -> str:
        """Return a text that is not empty.

        Raises:
            SensorMisfitError: There is no text.

        """
        if not isinstance(self.value, str) or not self.value:
            raise self.misfit("write a text")
        return self.value

    def texts(self) -> dict[str, str]:
        """Return a mapping of texts.

        Raises:
            SensorMisfitError: It holds something else.

        """
        self[""]
        return {name: member if member == "" else self[name].text() for name, member in (self.value or {}).items()}

    def must_be(self, *allowed: Any) -> None:
        """Refuse a value that is not in ``allowed``, where None means nothing.

        Raises:
            SensorMisfitError: It is another value.

        """
        value = self.value if self else None
        if value not in allowed:
            raise self.misfit("write " + " or ".join(str(choice) for choice in allowed if choice is not None))

    def misfit(self, expected: str) -> SensorMisfitError:
        """Return the error with what was found here, and what is expected."""
        return SensorMisfitError(self.path, f"found {quote_value(self.value)}", expected)
