"""Publishes the rows of Spark's DataFrames as events: ``pip install 'flowbridge-sdk[spark]'``.

There are two ways. ``to_kafka_columns`` makes the columns that Spark's own Kafka sink writes. ``FlowbridgeDataSource``
is a sink of its own, for clusters that lack the Kafka package. Both encode Arrow batches, and both write the bytes that
a publisher sends. docs/publishing.md has a complete program for each.

Each name is imported when it is asked for. So the checks of columns need no Spark.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

if _TYPE_CHECKING:
    from flowbridge_sdk.spark.sinks import FlowbridgeDataSource, to_kafka_columns

__all__ = ["FlowbridgeDataSource", "to_kafka_columns"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        sinks = _import_module(f"{__name__}.sinks")
    except ImportError as missing:
        from flowbridge_sdk.errors import SettingsError  # noqa: PLC0415 - needed only for this

        raise SettingsError(
            f"events of Spark need more packages ({missing.name} is missing): pip install 'flowbridge-sdk[spark]'"
        ) from missing
    return getattr(sinks, name)
