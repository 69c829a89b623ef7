"""Which namespaces trigger files may name: whoever writes such a file has Workflows created where it says.

The bridge creates Workflows with its own rights. Where these reach into several namespaces, files are not all trusted
with all of them. The setting ``trigger_namespaces`` says with which.
"""

from __future__ import annotations

from collections.abc import Collection

from bridge.core.trigger import Trigger
from bridge.triggers.errors import FieldPath, Misfit, quote_value
from flowbridge_sdk.misfit import MisfitError


def namespace_misfits(trigger: Trigger, allowed: Collection[str]) -> list[Misfit]:
    """Return what is wrong with a trigger of a file that is, or has its Workflows, where files may not have them.

    Args:
        trigger: The trigger.
        allowed: Namespaces that files may name; empty for any.

    """
    named: dict[FieldPath, str] = {
        ("metadata", "namespace"): trigger.namespace,
        ("spec", "run", "namespace"): trigger.run.namespace,
    }
    right = f"write {' or '.join(sorted(allowed))}, or add the namespace to the setting trigger_namespaces"
    return [
        (path, MisfitError(f"found {quote_value(namespace)}, a namespace that trigger files may not name", right))
        for path, namespace in named.items()
        if allowed and namespace not in allowed
    ][:1]  # a run's namespace is the trigger's where it names none
