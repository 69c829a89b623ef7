"""Flowbridge: starts Argo Workflows from events on Kafka."""


def __getattr__(name: str) -> str:
    if name == "__version__":  # looked up when asked for: reading the metadata takes longer than most imports
        from importlib.metadata import version  # noqa: PLC0415 - half of the time of `flowbridge --help`

        return version("flowbridge")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
