"""The SDK's pages are true: docs/sdk.md runs, and errors.py lists every error."""

import os
import re
import subprocess
import sys
from pathlib import Path

from confluent_kafka import Producer

import flowbridge_sdk
from flowbridge_sdk import errors

PAGE = Path(__file__).parents[3] / "docs" / "sdk.md"


def test_the_examples_of_the_documentation_run(tmp_path: Path) -> None:
    client = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 1, "log_level": 0})
    broker = next(iter(client.list_topics(timeout=10).brokers.values()))
    address = f"{broker.host}:{broker.port}"
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    script = tmp_path / "examples.py"
    script.write_text("\n".join(blocks).replace("localhost:9092", address), "utf-8")
    environment = {**os.environ, "FLOWBRIDGE_BOOTSTRAP_SERVERS": address}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    assert printed[0] == "ydtdemo3bldt5or5rlc5bfl7aq"
    assert printed[1].startswith("event 'order.created', field lines[0].price: found a complex 1j; a payload holds ")


def _all_errors() -> set[type[Exception]]:
    found: set[type[Exception]] = set()
    open_ones: list[type[Exception]] = [errors.FlowbridgeError]
    while open_ones:
        error = open_ones.pop()
        if error.__module__.partition(".")[0] == "flowbridge_sdk":  # what else runs here may have its own kinds
            found.add(error)
        open_ones += error.__subclasses__()
    return found


def test_every_error_stands_on_the_page_of_errors() -> None:
    page = errors.__doc__ or ""
    for error in _all_errors():
        assert error.__module__ == "flowbridge_sdk.errors"
        assert re.search(rf"\b{error.__name__}\b", page), error


def test_everything_that_is_exported_exists() -> None:
    assert all(hasattr(flowbridge_sdk, name) for name in flowbridge_sdk.__all__)
