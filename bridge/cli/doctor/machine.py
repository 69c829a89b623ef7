"""What may be wrong with the machine or pod that a process runs in, and with what it reads besides Kafka."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bridge.cli.doctor.finding import Finding
from bridge.settings.settings import Settings
from flowbridge_sdk.errors import SchemaError
from flowbridge_sdk.schemas import EventSchemas

_GIB = 1024**3
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_TOTAL = Path("/proc/meminfo")
_NO_SCHEMA = 2**31 - 1  # no registry has given this number yet


def room_findings(settings: Settings, memory: int | None, disk: int) -> Iterator[Finding]:
    """Yield which bounds of the settings are larger than what there is.

    Args:
        settings: The settings.
        memory: Bytes of memory that the process may take; None if that is not known.
        disk: Bytes that are free in the folder for temporary files.

    """
    if memory is not None and memory < 2 * settings.window_bytes:
        found = f"a process may take {_gib(memory)}, and its windows {_gib(settings.window_bytes)} (window_bytes)"
        remedy = "give it twice the memory that windows may take, or lower FLOWBRIDGE_WINDOW_BYTES"
        yield Finding("memory", "error", "this machine", found, remedy)
    wanted = settings.window_disk_bytes + settings.waiting_bytes
    if disk < wanted:
        found = (
            f"{_gib(disk)} are free in {tempfile.gettempdir()}; windows may take {_gib(settings.window_disk_bytes)} "
            f"there (window_disk_bytes), and the runs of one trigger {_gib(settings.waiting_bytes)} (waiting_bytes)"
        )
        yield Finding("disk", "error", "this machine", found, "give it more disk, or lower these settings")


def memory_limit() -> int | None:
    """Return the bytes of memory that this process may take: the limit of its group, or all that there is."""
    texts = [path.read_text(encoding="ascii").strip() for path in _LIMITS if path.is_file()]
    limits = [int(text) for text in texts if text.isdecimal()]
    if _TOTAL.is_file():
        first = _TOTAL.read_text(encoding="ascii").splitlines()[0].split()
        limits.append(int(first[1]) * 1024)
    return min(limits, default=None)


def free_disk() -> int:
    """Return the bytes that are free in the folder for temporary files."""
    return shutil.disk_usage(tempfile.gettempdir()).free


def schema_findings(settings: Settings) -> Iterator[Finding]:
    """Yield which files of schemas cannot be used, and whether the schema registry answers."""
    broken: list[SchemaError] = []
    try:
        EventSchemas.load(*settings.schemas, on_broken=broken.append)
    except SchemaError as error:
        broken.append(error)
    for each in broken:
        remedy = "correct the file: its events are dead letters until then"
        yield Finding("schemas", "error", each.where, each.problem, remedy)
    if settings.schema_registry_url is None:
        return
    from flowbridge_sdk.errors import RegistryUnavailableError, UnknownSchemaIdError  # noqa: PLC0415
    from flowbridge_sdk.registry import Registry  # noqa: PLC0415 - its packages are an optional extra

    try:
        Registry(settings.schema_registry_url).schema(_NO_SCHEMA)
    except RegistryUnavailableError as error:
        remedy = "bring it back, or correct FLOWBRIDGE_SCHEMA_REGISTRY_URL: events that need it wait"
        yield Finding("schemas", "error", "schema registry", str(error), remedy)
    except (UnknownSchemaIdError, SchemaError):
        return


def _gib(size: int) -> str:
    return f"{size / _GIB:.1f} GiB"
