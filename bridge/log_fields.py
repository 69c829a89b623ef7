"""The fields of a log line that say what it is about. Programs that read the log as JSON search by them."""

from __future__ import annotations

from typing import Any


def about(*, trigger: str = "", key: str = "", run_key: str = "", workflow: str = "") -> dict[str, Any]:
    """Return the ``extra`` of a log line.

    Args:
        trigger: ``namespace/name`` of its trigger.
        key: The correlation key, as it may be shown.
        run_key: The key of its run.
        workflow: ``namespace/name`` of its Workflow.

    """
    fields = {"trigger": trigger, "key": key, "run_key": run_key, "workflow": workflow}
    return {"about": {name: value for name, value in fields.items() if value}}
