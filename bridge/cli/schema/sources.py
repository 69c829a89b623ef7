"""The schemas that a person names: files and folders, models, and versions of a registry's subjects."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from bridge.cli.output import Output
from bridge.errors import RegistryUnreachableError, SchemasError, UsageError
from bridge.settings.settings import Settings
from flowbridge_sdk.avro.changes import changes
from flowbridge_sdk.errors import BadNameError, RegistryUnavailableError, SchemaError, SettingsError
from flowbridge_sdk.models.typed import schema_of
from flowbridge_sdk.registry import Registry
from flowbridge_sdk.schemas import SUFFIX, EventSchema, Reference
from flowbridge_sdk.topics import name_of, topic_of

FROM_REGISTRY = "registry:"
FROM_TOPIC = "topic:"
MODEL_REMEDY = "correct the model; docs/sdk.md lists the types that it may have"
_MODEL = re.compile(r"[\w.]+:[\w.]+")


@contextmanager
def sdk_errors(remedy: str = "") -> Iterator[None]:
    """Raise our errors where the SDK raises its own.

    Args:
        remedy: What corrects a schema that cannot be used, where it is in no file.

    """
    try:
        yield
    except SchemaError as error:
        raise SchemasError(str(error), remedy) from error
    except RegistryUnavailableError as error:
        raise RegistryUnreachableError(str(error)) from error
    except (SettingsError, BadNameError) as error:
        raise UsageError(str(error)) from error


def registry_of(settings: Settings) -> Registry | None:
    """Return the registry of the settings, if they name one."""
    with sdk_errors():
        return Registry(settings.schema_registry_url) if settings.schema_registry_url else None


def needed(registry: Registry | None) -> Registry:
    """Return the registry.

    Raises:
        UsageError: There is none.

    """
    if registry is None:
        raise UsageError("no schema registry is named", "name it with --schema-registry-url")
    return registry


def is_model(source: str) -> bool:
    """Return whether a source is MODULE:CLASS."""
    return bool(_MODEL.fullmatch(source)) and not source.startswith((FROM_REGISTRY, FROM_TOPIC))


def model_of(source: str) -> type:
    """Import a model. The current folder is searched first, as Python itself does for a program.

    Raises:
        UsageError: There is no such module or class, or it cannot be imported.

    """
    module, _, path = source.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # a module of others raises anything when it is imported
        raise UsageError(
            f"{source} cannot be imported: {type(error).__name__}: {error}",
            "name a class as MODULE:CLASS, and call the command in the folder from which the module is imported",
        ) from error
    if not isinstance(found, type):
        raise UsageError(f"{source} is no class", "name a dataclass or a pydantic model")
    return found


def event_of(path: Path) -> tuple[str, str]:
    """Return the name of the events that a file describes, and its version; empty for the current one.

    Raises:
        UsageError: It is no NAME.avsc.

    """
    if path.suffix != SUFFIX:
        raise UsageError(f"{path} is no schema", f"name a file NAME{SUFFIX}, a folder of these, or MODULE:CLASS")
    stem, _, version = path.name.removesuffix(SUFFIX).partition("@")
    return name_of(stem), version


def files_of(path: Path) -> list[Path]:
    """Return the schemas of a folder, or the file itself, each event's versions in their order and its current last.

    Raises:
        UsageError: There is no such path, or the folder has no schema.

    """
    if not path.exists():
        raise UsageError(f"{path} does not exist", f"name a file NAME{SUFFIX}, a folder of these, or MODULE:CLASS")
    if not path.is_dir():
        return [path]
    files = [file for file in path.glob(f"*{SUFFIX}") if file.is_file()]
    if not files:
        raise UsageError(f"{path} has no schema", f"put files NAME{SUFFIX} there")

    def order(file: Path) -> tuple[str, bool, list[tuple[bool, int, str]]]:
        name, version = event_of(file)
        parts = re.split(r"(\d+)", version)  # @2 stands before @10
        return name, not version, [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]

    return sorted(files, key=order)


def read_schema(
    path: Path, name: str, registry: Registry | None = None, references: Sequence[Reference] = ()
) -> EventSchema:
    """Return the schema of a file.

    Raises:
        SchemasError: It holds none.
        RegistryUnreachableError: It refers to the registry, which does not answer.

    """
    with sdk_errors():
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SchemasError(f"{path} cannot be read: {error}") from error
        if references:
            return needed(registry).parse(name, text, str(path), references)
        return EventSchema.parse(name, text, str(path))


def schema_from(source: str, registry: Registry | None, name: str = "") -> EventSchema:
    """Return the schema of a file, a model, or a version of a registry's subject (the latest unless given).

    Raises:
        UsageError: There is no such source, or no registry is named.
        SchemasError: It has no schema.
        RegistryUnreachableError: The registry does not answer.

    """
    with sdk_errors():
        if source.startswith(FROM_REGISTRY):
            subject, _, version = source.removeprefix(FROM_REGISTRY).partition("@")
            if version and not version.isdecimal():
                raise UsageError(f"{source}: found version {version!r}", f"write {FROM_REGISTRY}SUBJECT@2")
            if version:
                return needed(registry).version(subject, int(version))
            versions = needed(registry).versions(subject)
            if not versions:
                raise UsageError(f"the registry has no subject {subject}", "an event's subject is TOPIC-value")
            return versions[-1]
        if is_model(source):
            with sdk_errors(MODEL_REMEDY):
                return EventSchema.parse(name, json.dumps(schema_of(model_of(source))), source)
        path = Path(source)
        if path.is_dir() or not path.exists():
            raise UsageError(
                f"{source} is no file", f"name a file NAME{SUFFIX}, MODULE:CLASS, or {FROM_REGISTRY}SUBJECT"
            )
        return read_schema(path, event_of(path)[0])


def schemas_in(
    source: str, name: str | None, registry: Registry | None, references: Sequence[Reference] = ()
) -> Iterator[tuple[EventSchema, Path | None]]:
    """Yield the schemas of a file, a folder or a model, each with its file; None for a model's.

    Of a folder only the current versions are yielded.

    Args:
        source: The file, the folder, or the model as MODULE:CLASS.
        name: What the events of a model are called.
        registry: The registry that models and references may need.
        references: The types of other schemas that the files use.

    Raises:
        UsageError: There is no such source, or the events of a model have no name.
        SchemasError: A file or a model has no schema.
        RegistryUnreachableError: The registry does not answer.

    """
    if is_model(source) and not Path(source).exists():
        if not name:
            raise UsageError(f"{source} does not say what its events are called", "name them with --name")
        yield schema_from(source, registry, name), None
        return
    for file in files_of(Path(source)):
        event, version = event_of(file)
        if not version or not Path(source).is_dir():
            yield read_schema(file, event, registry, references), file


def subject_of(name: str) -> str:
    """Return the subject of an event's schema.

    Raises:
        UsageError: The name cannot be a topic's.

    """
    with sdk_errors():
        return f"{topic_of(name)}-value"


def compare(*, old: str, new: str, settings: Settings, output: Output) -> None:
    """Print what changed from one schema to another."""
    registry = registry_of(settings)
    found = changes(schema_from(old, registry), schema_from(new, registry))
    for change in found:
        output.result(str(change), asdict(change))
    if not found:
        output.remark("nothing changed")
