"""Flowbridge: starts Argo Workflows from events on Kafka."""

from importlib.metadata import version as _version


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: reading the metadata takes longer than most imports
        return _version("flowbridge")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
