"""Flowbridge: starts Argo Workflows from events on Kafka."""

__version__ = "0.2.0"  # as in pyproject.toml: reading the metadata takes as long as the rest of `flowbridge --version`
