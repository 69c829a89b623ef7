"""Two events of the same customer, at most six hours apart."""

from metaflow import FlowSpec, Parameter, step, trigger
from shown import show


@trigger(events=[{"name": "data.updated", "parameters": {"rows": "rows"}}, "model.approved"])
class WindowLines(FlowSpec):
    """Two events of the same customer, at most six hours apart.

    flowbridge.dev/window: 6h
    flowbridge.dev/key: customer
    """

    rows = Parameter("rows", type=int, default=7)

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    WindowLines()
