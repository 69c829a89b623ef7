"""What waits is forgotten every midnight in Berlin."""

from metaflow import FlowSpec, step, trigger
from shown import show


@trigger(
    events=["data.updated", "model.approved"],
    options={"reset_at": {"cron": "0 0 * * *", "timezone": "Europe/Berlin"}},
)
class ResetAt(FlowSpec):
    """What waits is forgotten every midnight in Berlin."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    ResetAt()
