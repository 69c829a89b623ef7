"""A Confluent-compatible schema registry, through confluent-kafka's client (``pip install flowbridge-sdk[registry]``).

A consumer must tell two failures apart. If a registry answers that it does not know an id, that is final, and the
event is a dead letter. If it does not answer, or answers with an error of its own, it may answer in a minute, and the
partition waits. A proxy's 404 page is of the second kind: only the registry's own error codes count as an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from importlib import import_module
from typing import Any, TypeVar

from flowbridge_sdk.errors import (
    NotRegisteredError,
    RegistryUnavailableError,
    SchemaError,
    SettingsError,
    UnknownSchemaIdError,
)
from flowbridge_sdk.schemas import EventSchema, Reference, parsed

try:
    from confluent_kafka.schema_registry import RegisteredSchema, Schema, SchemaReference, SchemaRegistryClient
    from confluent_kafka.schema_registry.error import OAuthTokenError, SchemaRegistryError
except ImportError as missing:
    raise SettingsError(
        f"a schema registry needs more packages ({missing.name} is missing): pip install 'flowbridge-sdk[registry]'",
    ) from missing


_transport_errors: list[type[Exception]] = []  # of confluent-kafka's HTTP library, which is one of two
for _library in ("httpx2", "httpx"):
    with suppress(ImportError):
        _transport_errors.append(import_module(_library).HTTPError)

_NO_ANSWER: tuple[type[Exception], ...] = (
    *_transport_errors,
    OAuthTokenError,
    OSError,
    ValueError,
    TypeError,  # and the next two: an answer in JSON that is none of a registry's
    AttributeError,
    LookupError,
)
_T = TypeVar("_T")

_NOT_FOUND = frozenset({40401, 40402, 40403})  # subject, version, schema "not found", in the registry's own words
_REFUSED = frozenset({HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_UNKNOWN_S = 10.0
_REFERENCES_DEEP = 16
_REFERENCES = 256
_DEFAULTS = {"timeout": 5, "max.retries": 1, "retries.wait.ms": 100}  # a consumer tries again by itself


def _id(registered: RegisteredSchema) -> int:
    if registered.schema_id is None:
        raise RegistryUnavailableError("the schema registry answered without an id")
    return registered.schema_id


def _with_references(schema: EventSchema) -> Schema:
    references = [SchemaReference(*reference) for reference in schema.references]
    return Schema(schema.text, "AVRO", references)


class _NotKnownError(Exception):
    """The registry's own answer: it does not hold the subject, version or schema."""


class Registry:
    """A schema registry.

    Args:
        url: Its address, or several with commas between; user and password may be part of it.
        auto_register: Whether a schema that is not registered yet is registered when an event is published with it.
        config: Further properties of confluent-kafka's ``SchemaRegistryClient``, as ``ssl.ca.location``.
        clock: Seconds that only grow; for how long "unknown" is remembered.

    """

    def __init__(
        self,
        url: str,
        *,
        auto_register: bool = False,
        config: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        try:
            self._client = SchemaRegistryClient({**_DEFAULTS, "url": url, **(config or {})})
        except (ValueError, TypeError) as error:
            raise SettingsError(f"the schema registry's settings: {error}") from error
        self._auto_register = auto_register
        self._clock = clock
        self._unknown_until: dict[int | str, float] = {}
        self._broken: dict[int | str, tuple[float, SchemaError]] = {}

    def schema(self, schema_id: int | str) -> EventSchema:
        """Return the schema with a number, or with a GUID given as text.

        Raises:
            UnknownSchemaIdError: The registry does not know it. Remembered for 10 s.
            RegistryUnavailableError: It does not answer, or not sensibly.
            SchemaError: The schema is not one of an event. Remembered for 10 s, too.

        """
        until, broken = self._broken.get(schema_id, (0.0, None))
        if broken is not None and until > self._clock():
            raise SchemaError(broken.where, broken.problem)
        if self._unknown_until.get(schema_id, 0.0) > self._clock():
            raise UnknownSchemaIdError(str(schema_id))
        try:
            if isinstance(schema_id, int):
                schema = self._ask(lambda: self._client.get_schema(schema_id))
            else:
                schema = self._ask(lambda: self._client.get_schema_by_guid(schema_id), missing_route=True)
        except _NotKnownError:
            if len(self._unknown_until) >= 1000:  # noqa: PLR2004 - a bound for hostile records
                self._unknown_until.clear()
            self._unknown_until[schema_id] = self._clock() + _UNKNOWN_S
            raise UnknownSchemaIdError(str(schema_id)) from None
        try:
            return self._compiled(schema, "", f"schema id {schema_id} of the registry")
        except SchemaError as error:
            if len(self._broken) >= 1000:  # noqa: PLR2004 - as above
                self._broken.clear()
            self._broken[schema_id] = self._clock() + _UNKNOWN_S, error
            raise

    def writing(self, subject: str, name: str, schema: EventSchema | None) -> tuple[int, EventSchema] | None:
        """Return the id and schema that events called ``name`` are written with.

        Args:
            subject: Their subject, ``TOPIC-value``.
            name: Their name.
            schema: Their schema in the folder of schemas, if it has one.

        Returns:
            None when neither the folder nor the registry has a schema for them.

        Raises:
            NotRegisteredError: The folder has a schema that the registry does not hold under the subject.
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        if schema is None:
            try:
                latest = self._ask(lambda: self._client.get_latest_version(subject))
            except _NotKnownError:
                return None
            return _id(latest), self._compiled(latest.schema, name, f"subject {subject} of the registry")
        avro = _with_references(schema)
        try:
            if self._auto_register:
                return self._ask(lambda: self._client.register_schema(subject, avro)), schema
            return _id(self._ask(lambda: self._client.lookup_schema(subject, avro))), schema
        except _NotKnownError:
            raise NotRegisteredError(
                f"the schema registry does not hold {schema.where} under {subject}; "
                "register it there, or let the SDK do so with auto_register",
            ) from None

    def versions(self, subject: str) -> list[EventSchema]:
        """Return all schemas of a subject, the oldest first; none if it has no such subject.

        Raises:
            SchemaError: One of them is not one of an event.
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        try:
            numbers = sorted(self._ask(lambda: self._client.get_versions(subject)))
        except _NotKnownError:
            return []
        return [self.version(subject, number) for number in numbers]

    def version(self, subject: str, number: int) -> EventSchema:
        """Return a version of a subject.

        Raises:
            SchemaError: It has no such version, or that is not one of an event.
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        where = f"subject {subject} version {number} of the registry"
        try:
            found = self._ask(lambda: self._client.get_version(subject, number))
        except _NotKnownError:
            raise SchemaError(where, "the registry does not have it") from None
        return self._compiled(found.schema, "", where)

    def parse(self, name: str, text: str, where: str, references: Sequence[Reference]) -> EventSchema:
        """Compile a schema that refers to other ones of the registry.

        Raises:
            SchemaError: It is not one of an event, or refers to what is not there.
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        wanted = [SchemaReference(*reference) for reference in references]
        return self._compiled(Schema(text, "AVRO", wanted), name, where)

    def lookup(self, subject: str, schema: EventSchema) -> tuple[int, int] | None:
        """Return the id and the version of a schema under a subject; None if it does not hold it there.

        Raises:
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        try:
            found = self._ask(lambda: self._client.lookup_schema(subject, _with_references(schema)))
        except _NotKnownError:
            return None
        return _id(found), found.version or 0

    def is_compatible(self, subject: str, schema: EventSchema) -> bool:
        """Return whether the registry would take a schema as the next version of a subject, by its own rule.

        Raises:
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        try:
            return bool(self._ask(lambda: self._client.test_compatibility(subject, _with_references(schema))))
        except _NotKnownError:
            return True  # the first of its subject

    def register(self, subject: str, schema: EventSchema) -> tuple[int, int]:
        """Register a schema and return its id and version; those that it has if it is registered already.

        Raises:
            SchemaError: The registry finds it wrong, or not compatible with the subject's other versions.
            RegistryUnavailableError: It does not answer, or not sensibly.

        """
        try:
            self._ask(lambda: self._client.register_schema(subject, _with_references(schema)))
        except RegistryUnavailableError as error:
            cause = error.__cause__
            if isinstance(cause, SchemaRegistryError) and cause.http_status_code in _REFUSED:
                raise SchemaError(schema.where, f"the registry refuses it under {subject}: {cause}") from error
            raise
        found = self.lookup(subject, schema)
        if found is None:
            raise RegistryUnavailableError(f"the schema registry registered {subject} and does not find it")
        return found

    def _ask(self, request: Callable[[], _T], *, missing_route: bool = False) -> _T:
        try:
            return request()
        except SchemaRegistryError as error:
            absent = error.http_status_code == HTTPStatus.NOT_FOUND
            # a registry that has no GUIDs yet answers 404 in its own JSON, and never will know one
            if absent and (
                error.error_code in _NOT_FOUND or (missing_route and error.error_code == HTTPStatus.NOT_FOUND)
            ):
                raise _NotKnownError from None
            raise RegistryUnavailableError(f"the schema registry refused: {error}") from error
        except _NO_ANSWER as error:
            raise RegistryUnavailableError(f"the schema registry does not answer: {error}") from error

    def _compiled(self, schema: Schema, name: str, where: str) -> EventSchema:
        if schema.schema_type != "AVRO":
            raise SchemaError(where, f"is of type {schema.schema_type}; expected AVRO: let its publishers write Avro")
        types: dict[str, Any] = {}
        self._resolve(schema, types, where, set(), 0)
        references = [Reference(r.name or "", r.subject or "", r.version or 0) for r in schema.references or ()]
        return EventSchema.parse(name, schema.schema_str or "", where, types, references)

    def _resolve(
        self, schema: Schema, types: dict[str, Any], where: str, seen: set[tuple[str, int]], depth: int
    ) -> None:
        """Add the named types that a schema takes from other subjects; each is asked for once."""
        if depth > _REFERENCES_DEEP:
            raise SchemaError(where, f"refers to other schemas more than {_REFERENCES_DEEP} deep")
        for reference in schema.references or ():
            subject, version = reference.subject or "", reference.version or 0
            if (subject, version) in seen:
                continue
            seen.add((subject, version))
            if len(seen) > _REFERENCES:
                raise SchemaError(where, f"refers to more than {_REFERENCES} other schemas")
            request = partial(self._client.get_version, subject, version, deleted=True)
            try:
                referenced = self._ask(request).schema
            except _NotKnownError:
                raise SchemaError(where, f"refers to {subject} version {version}, which is gone") from None
            self._resolve(referenced, types, where, seen, depth + 1)
            parsed(referenced.schema_str or "", where, types)
