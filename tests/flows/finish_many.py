"""Runs when both of two other flows have finished."""

from metaflow import FlowSpec, step, trigger_on_finish
from shown import show


@trigger_on_finish(flows=["OneEvent", "TwoMapped"])
class FinishMany(FlowSpec):
    """Runs when both of two other flows have finished."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    FinishMany()
