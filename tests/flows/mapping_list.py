"""The mapping as a list of names and pairs."""

from metaflow import FlowSpec, Parameter, step, trigger
from shown import show


@trigger(event={"name": "data.updated", "parameters": ["rows", ("title", "headline")]})
class MappingList(FlowSpec):
    """The mapping as a list of names and pairs."""

    rows = Parameter("rows", type=int, default=7)
    title = Parameter("title", default="untitled")

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    MappingList()
