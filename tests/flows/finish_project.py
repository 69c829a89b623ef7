"""Runs when a flow of a branch of its project has finished."""

from metaflow import FlowSpec, project, step, trigger_on_finish
from shown import show


@project(name="shop")
@trigger_on_finish(flow={"name": "ProjectBranch", "project": "shop", "project_branch": "test.summer"})
class FinishProject(FlowSpec):
    """Runs when a flow of a branch of its project has finished."""

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    FinishProject()
