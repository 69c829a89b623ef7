"""Runs when another flow has finished."""

from metaflow import FlowSpec, Parameter, step, trigger_on_finish
from shown import show


@trigger_on_finish(flow="OneEvent")
class FinishOne(FlowSpec):
    """Runs when another flow has finished."""

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
    FinishOne()
