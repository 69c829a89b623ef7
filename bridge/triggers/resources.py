"""Read the triggers in the text of one file: Trigger resources, and ConfigMaps and Lists that hold them.

Metaflow's Sensors are read from files only by commands that check them. The bridge itself reads Sensors from the
cluster.

A trigger file decides in which namespace Workflows are created, and the bridge creates them with its own rights. If
these rights cover several namespaces, the setting ``trigger_namespaces`` says which of them trigger files may name.

Every error gets its file, line and field here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from bridge.core.trigger import Trigger
from bridge.triggers.checks.event_types import Schemas
from bridge.triggers.compile import compile_trigger
from bridge.triggers.documents import Document, DocumentError, read_documents
from bridge.triggers.errors import FieldPath, Misfit, Origin, TriggerError, path_text, quote_value
from bridge.triggers.sensors.api import LABELS
from bridge.triggers.sensors.compile import SensorRules, compile_sensor
from flowbridge_sdk.avro.misfit import MisfitError


@dataclass(frozen=True, slots=True)
class LoadedTrigger:
    """A trigger and the place that it was read from. Every source returns triggers in this form.

    Attributes:
        trigger: The trigger.
        origin: Where it starts.
        root: The configured path above its file; empty for other sources.
        lines: Lines of its fields, by path.

    """

    trigger: Trigger
    origin: Origin
    root: str = ""
    lines: Mapping[FieldPath, int] = field(default_factory=dict, compare=False, repr=False)


def read_text(
    text: str,
    root: str,
    file: str,
    namespace: str,
    sensors: SensorRules | None = None,
    schemas: Schemas | None = None,
    left_alone: list[TriggerError] | None = None,
    *,
    namespaces: Collection[str] = (),
) -> tuple[list[LoadedTrigger], list[TriggerError]]:
    """Return the triggers in ``text``, and all its errors.

    Args:
        text: The content of a file: YAML, one document or several.
        root: The configured path above the file.
        file: The file's path, for errors.
        namespace: Namespace of triggers that name none.
        sensors: Rules for Sensors; None to refuse them.
        schemas: The known Avro schemas, by event name.
        left_alone: Takes a note for each Sensor that is not Metaflow's.
        namespaces: Namespaces that triggers of files may name; empty for any. Sensors have their own rules.

    """
    reader = _FileReader(root, file, sensors, schemas, namespaces)
    reader.read(text, 1, namespace, inside="")
    if left_alone is not None:
        left_alone += reader.left_alone
    return reader.loaded, reader.errors


def namespace_misfits(trigger: Trigger, allowed: Collection[str]) -> list[Misfit]:
    """Return the misfit of a trigger of a file that is, or creates Workflows, in a namespace that is not allowed.

    Args:
        trigger: The trigger.
        allowed: Namespaces that files may name; empty for any.

    """
    named: dict[FieldPath, str] = {
        ("metadata", "namespace"): trigger.namespace,
        ("spec", "run", "namespace"): trigger.run.namespace,
    }
    expected = f"write {' or '.join(sorted(allowed))}, or add the namespace to the setting trigger_namespaces"
    return [
        (path, MisfitError(f"found {quote_value(namespace)}, a namespace that trigger files may not name", expected))
        for path, namespace in named.items()
        if allowed and namespace not in allowed
    ][:1]  # a run's namespace is the trigger's where it names none


class _FileReader:
    """Collects the triggers and errors of one file."""

    def __init__(
        self,
        root: str,
        file: str,
        sensors: SensorRules | None,
        schemas: Schemas | None,
        namespaces: Collection[str],
    ) -> None:
        self._root = root
        self._file = file
        self._sensors = sensors
        self._schemas = schemas
        self._namespaces = namespaces
        self.loaded: list[LoadedTrigger] = []
        self.errors: list[TriggerError] = []
        self.left_alone: list[TriggerError] = []

    def read(self, text: str, first_line: int, namespace: str, inside: str) -> None:
        """Read all documents; ``inside`` is the entry of the ConfigMap that holds them."""
        try:
            for document in read_documents(text, first_line):
                self._read_document(document, namespace, inside)
        except DocumentError as error:
            self._refuse(error.line, error.path, error, "", inside)

    def _read_document(self, document: Document, namespace: str, inside: str) -> None:
        kind = document.value.get("kind") if isinstance(document.value, dict) else None
        if kind == "ConfigMap" and not inside:
            self._read_config_map(document, namespace)
            return
        if kind == "List" and isinstance(document.value.get("items"), list):
            for index in range(len(document.value["items"])):
                self._read_document(document.part(("items", index)), namespace, inside)
            return
        metadata = document.value.get("metadata") if isinstance(document.value, dict) else None
        metadata = metadata if isinstance(metadata, dict) else {}
        identity = ""
        if isinstance(metadata.get("name"), str):
            own = metadata.get("namespace")
            identity = f"{own if isinstance(own, str) and own else namespace}/{metadata['name']}"
        if kind == "Sensor" and self._sensors is not None:
            labels = metadata.get("labels")
            if isinstance(labels, dict) and LABELS.items() <= labels.items():
                self._take(document, compile_sensor(document.value, self._sensors), identity, inside)
                return
            # On the cluster the bridge asks only for Sensors with this label.
            found = f"a Sensor without Metaflow's label {': '.join(*LABELS.items())}"
            origin = Origin(self._file, document.line_of(("metadata",)))
            note = TriggerError(origin, "metadata.labels", found, "the bridge leaves it alone", identity)
            self.left_alone.append(note)
            return
        if kind != "Trigger":
            expected = "write kind: Trigger" if inside else "write kind: Trigger, or a ConfigMap that holds triggers"
            if isinstance(document.value, dict):
                found = "there is no kind" if kind is None else f"found the kind {quote_value(kind)}"
            else:
                found = f"found {quote_value(document.value)}"
            if isinstance(document.value, list):
                expected = "write each trigger as a document of its own, with --- between them"
            if kind == "Sensor":
                expected = "name its namespace in FLOWBRIDGE_SENSORS: Sensors are read on the cluster"
            self._refuse(document.line_of(("kind",)), ("kind",), MisfitError(found, expected), identity, inside)
            return
        compiled = compile_trigger(document.value, namespace, self._schemas)
        refused = namespace_misfits(compiled, self._namespaces) if isinstance(compiled, Trigger) else []
        self._take(document, refused or compiled, identity, inside)

    def _take(self, document: Document, compiled: Trigger | list[Misfit], identity: str, inside: str) -> None:
        if isinstance(compiled, Trigger):
            origin = Origin(self._file, document.line)
            self.loaded.append(LoadedTrigger(compiled.shared(), origin, self._root, document.lines))
            return
        for path, misfit in compiled:
            line = document.line_of(path)
            if misfit.text_line and path in document.blocks:
                line = document.blocks[path] + misfit.text_line - 1
            self._refuse(line, path, misfit, identity, inside)

    def _read_config_map(self, document: Document, namespace: str) -> None:
        data = document.value.get("data")
        if not isinstance(data, dict) or not data:
            misfit = MisfitError(f"found {quote_value(data)}", "write the triggers' YAML as entries of data")
            self._refuse(document.line_of(("data",)), ("data",), misfit, "", "")
            return
        metadata = document.value.get("metadata")
        own = metadata.get("namespace") if isinstance(metadata, dict) else None
        for name, text in data.items():
            path = ("data", name)
            if isinstance(text, str):
                first_line = document.blocks.get(path, document.line_of(path))
                self.read(text, first_line, own if isinstance(own, str) and own else namespace, inside=f"data.{name}")
            else:
                misfit = MisfitError(f"found {quote_value(text)}", "write YAML as a block of text, behind a '|'")
                self._refuse(document.line_of(path), path, misfit, "", "")

    def _refuse(self, line: int, path: FieldPath, misfit: MisfitError, identity: str, inside: str) -> None:
        place = " ".join(part for part in (inside, path_text(path)) if part)
        self.errors.append(TriggerError(Origin(self._file, line), place, misfit.found, misfit.expected, identity))
