"""Each Parameter takes the payload field of its name."""

from metaflow import FlowSpec, Parameter, step, trigger
from shown import show


@trigger(event="data.updated")
class DefaultParameters(FlowSpec):
    """Each Parameter takes the payload field of its name."""

    rows = Parameter("rows", type=int, default=7)
    title = Parameter("title", required=True)
    spare_time = Parameter("spare-time", type=float, default=0.5)

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    DefaultParameters()
