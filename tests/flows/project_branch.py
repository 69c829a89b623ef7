"""Deployed in a branch of a project, with an event of that branch."""

from metaflow import FlowSpec, Parameter, namespaced_event_name, project, step, trigger
from shown import show


@project(name="shop")
@trigger(event=namespaced_event_name("data.updated"))
class ProjectBranch(FlowSpec):
    """Deployed in a branch of a project, with an event of that branch."""

    rows = Parameter("rows", type=int, default=7)

    @step
    def start(self) -> None:
        """Show what came in."""
        show(self)
        self.next(self.end)

    @step
    def end(self) -> None:
        """Do nothing more."""


if __name__ == "__main__":
    ProjectBranch()
