"""Events whose names and mappings are known only when the flow is deployed."""

from metaflow import FlowSpec, Parameter, step, trigger
from shown import show


def _updated(_context: object) -> dict[str, object]:
    return {"name": "data.updated", "parameters": {"rows": "row_count"}}


def _approved(_context: object) -> str:
    return "model.approved"


@trigger(events=[_updated, {"name": _approved, "parameters": lambda _context: ["model"]}])
class CallableEvents(FlowSpec):
    """Events whose names and mappings are known only when the flow is deployed."""

    rows = Parameter("rows", type=int, default=7)
    model = Parameter("model", default="none")

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    CallableEvents()
