"""A Parameter of each type."""

from metaflow import FlowSpec, JSONType, Parameter, step, trigger
from shown import show


@trigger(event="data.updated")
class TypedParameters(FlowSpec):
    """A Parameter of each type."""

    text = Parameter("text", type=str, default='a "quoted" text')
    count = Parameter("count", type=int, default=7)
    share = Parameter("share", type=float, default=0.5)
    fresh = Parameter("fresh", type=bool, default=True)
    tree = Parameter("tree", type=JSONType, default={"leaves": [1, "two", None]})
    nothing = Parameter("nothing", type=str, default=None)

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    TypedParameters()
