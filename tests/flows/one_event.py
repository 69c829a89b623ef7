"""A run for each event."""

from metaflow import FlowSpec, step, trigger
from shown import show


@trigger(event="report_done")
class OneEvent(FlowSpec):
    """A run for each event."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    OneEvent()
