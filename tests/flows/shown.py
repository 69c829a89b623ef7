"""What a step of a deployed flow sees, as a line of its output that tests read."""

import json

from metaflow import FlowSpec, current

MARK = "SHOWN "


def show(flow: FlowSpec) -> None:
    """Print the flow's Parameters, what triggered the run, and which run it is."""
    trigger = current.get("trigger")
    seen = {
        "parameters": {parameter.name: getattr(flow, name) for name, parameter in flow._get_parameters()},
        "events": [
            [event.type, event.name, event.id, int(event.timestamp.timestamp())]
            for event in (trigger.events or () if trigger else ())
        ],
        "run": current.run_id,
    }
    print(MARK + json.dumps(seen))
