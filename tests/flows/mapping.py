"""Parameters take the fields that the mapping names."""

from metaflow import FlowSpec, Parameter, step, trigger
from shown import show


@trigger(event={"name": "data.updated", "parameters": {"rows": "row_count", "title": "headline"}})
class Mapping(FlowSpec):
    """Parameters take the fields that the mapping names."""

    rows = Parameter("rows", type=int, default=7)
    title = Parameter("title", required=True)
    region = Parameter("region", default="north")

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    Mapping()
