"""Runs when a flow that is named with its project and branch has finished."""

from metaflow import FlowSpec, step, trigger_on_finish
from shown import show


@trigger_on_finish(flow="shop.test.summer.ProjectBranch")
class FinishQualified(FlowSpec):
    """Runs when a flow that is named with its project and branch has finished."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    FinishQualified()
