"""What a parameter's text means, so that the bridge's and Argo Events' may differ in how they write the same value."""

from __future__ import annotations

import json
from typing import Any


def same(ours: Any, theirs: Any) -> bool:
    """Compare two values as JSON means them; an integer of ours may be more exact than a float64 of theirs."""
    if isinstance(ours, dict):
        return (
            isinstance(theirs, dict)
            and ours.keys() == theirs.keys()
            and all(same(ours[name], theirs[name]) for name in ours)
        )
    if isinstance(ours, list):
        return isinstance(theirs, list) and len(ours) == len(theirs) and all(map(same, ours, theirs))
    if isinstance(ours, bool) or not isinstance(ours, int | float):
        return type(ours) is type(theirs) and bool(ours == theirs)
    return isinstance(theirs, int | float) and not isinstance(theirs, bool) and float(ours) == float(theirs)


def same_text(ours: str, theirs: str) -> bool:
    """Compare two texts of parameters as JSON; what is JSON inside of a string (a JSONType) as JSON, too."""
    read, wanted = json.loads(ours), json.loads(theirs)
    if same(read, wanted):
        return True
    try:
        return isinstance(read, str) and read[:1] in "{[" and same(json.loads(read), json.loads(wanted))
    except (TypeError, ValueError):  # either is another text
        return False
