"""What a step of a deployed flow sees, as a line of its output that tests read."""

import json

from metaflow import FlowSpec, current

MARK = "SHOWN "


def show(flow: FlowSpec) -> None:
    """Print the flow's Parameters, by the names of its variables, what triggered the run, and which run it is."""
    trigger = current.get("trigger")
    seen = {
        "parameters": {name: getattr(flow, name) for name in current.parameter_names},
        "events": [
            [event.type, event.name, event.id, int(event.timestamp.timestamp())]
            for event in (trigger.events or () if trigger else ())
        ],
        "run": current.run_id,
    }
    print(MARK + json.dumps(seen))
