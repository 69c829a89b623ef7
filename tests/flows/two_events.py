"""A run for each pair of events."""

from metaflow import FlowSpec, step, trigger
from shown import show


@trigger(events=["data.updated", "model-approved"])
class TwoEvents(FlowSpec):
    """A run for each pair of events."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    TwoEvents()
