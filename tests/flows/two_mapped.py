"""Two events, each of which fills Parameters of its own."""

from metaflow import FlowSpec, JSONType, Parameter, step, trigger
from shown import show


@trigger(
    events=[
        {"name": "data.updated", "parameters": {"rows": "row_count"}},
        {"name": "model.approved", "parameters": {"model": "model_name", "settings": "settings"}},
    ]
)
class TwoMapped(FlowSpec):
    """Two events, each of which fills Parameters of its own."""

    rows = Parameter("rows", type=int, default=7)
    model = Parameter("model", required=True)
    settings = Parameter("settings", type=JSONType, default={"depth": 3})
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
    TwoMapped()
