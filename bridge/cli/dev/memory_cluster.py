"""The cluster of ``flowbridge dev``: Workflows are kept in memory and never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bridge.argo.memory import MemoryWorkflowApi
from bridge.errors import UsageError


class StandIn(MemoryWorkflowApi):
    """The Workflow API in memory, which invents each template that it does not know.

    Args:
        namespace: Namespace of templates that name none.
        files: YAML files of WorkflowTemplates.

    Raises:
        UsageError: A file holds something else.

    """

    def __init__(self, namespace: str, files: Sequence[Path]) -> None:
        super().__init__()
        self.add_namespace(namespace)
        for file in files:
            for template in _templates(file):
                metadata, parameters = template["metadata"], _parameters(template)
                home = metadata.get("namespace", namespace)
                without = [item["name"] for item in parameters if not {"value", "default", "valueFrom"} & item.keys()]
                defaults = [item["name"] for item in parameters if item["name"] not in without]
                self.add_namespace(home)
                self.add_template(home, metadata["name"], without, defaults=defaults)

    def template(self, namespace: str, name: str) -> Any:
        """Return the template. An unknown name gets a template without parameters, so that its Workflows show."""
        template = super().template(namespace, name)
        if template is not None:
            return template
        self.add_template(namespace, name)
        return super().template(namespace, name)


def _templates(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the WorkflowTemplates of a file, those inside of a List included."""
    remedy = "name a YAML file of WorkflowTemplates, such as `kubectl get workflowtemplates -o yaml` prints"
    try:
        documents = list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: {error}", remedy) from error
    for number, document in enumerate(document for document in documents if document):
        items: Any = document.get("items") if isinstance(document, dict) and "items" in document else [document]
        for item in items if isinstance(items, list) else [items]:
            metadata = item.get("metadata") if isinstance(item, dict) else None
            is_template = (
                isinstance(metadata, dict)
                and isinstance(metadata.get("name"), str)
                and item.get("kind", "WorkflowTemplate") in ("WorkflowTemplate", "ClusterWorkflowTemplate")
                and all(isinstance(part, dict) and isinstance(part.get("name"), str) for part in _parameters(item))
            )
            if not is_template:
                kind = item.get("kind", "a mapping") if isinstance(item, dict) else type(item).__name__
                raise UsageError(f"{path}: document {number + 1}: expected a WorkflowTemplate, got {kind}", remedy)
            yield item


def _parameters(template: Mapping[str, Any]) -> list[Any]:
    spec = template.get("spec")
    arguments = spec.get("arguments") if isinstance(spec, dict) else None
    parameters = arguments.get("parameters") if isinstance(arguments, dict) else None
    return parameters if isinstance(parameters, list) else []
