"""Prometheus and its promtool, built from their Go module: the one scrapes a bridge, the other checks rules.

They have no UI, and no service discovery but a list of addresses.
"""

from __future__ import annotations

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from servers.builds import prometheus_programs
from servers.loopback import HOST, free_port
from servers.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_START_SECONDS = 60.0
_STOP_SECONDS = 4.0
_REQUEST_SECONDS = 10
_TOOL_SECONDS = 120

_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: flowbridge
    static_configs: [{{targets: [{targets}]}}]
"""


class Told(NamedTuple):
    """What promtool said: its exit code, and all that it printed."""

    code: int
    text: str


def promtool(*arguments: str) -> Told:
    """Run promtool to its end.

    Raises:
        ServerError: It cannot be built.
        subprocess.TimeoutExpired: It did not end in time, and was killed.

    """
    command = [str(prometheus_programs() / "promtool"), *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=_TOOL_SECONDS, check=False
    )
    return Told(done.returncode, done.stdout)


class PrometheusServer:
    """A Prometheus that scrapes every second. A context manager: started on entering, stopped on leaving.

    Args:
        folder: An empty folder of its own.
        rules: A file of rules, which it evaluates every second.
        ports: The ports of this machine that it scrapes.

    """

    def __init__(self, folder: Path, rules: Path, ports: Sequence[int]) -> None:
        self._port = free_port()
        config = folder / "prometheus.yaml"
        targets = ", ".join(f"'{HOST}:{port}'" for port in ports)
        config.write_text(_CONFIG.format(rules=json.dumps(str(rules)), targets=targets))
        options = [
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={HOST}:{self._port}",
            "--log.level=warn",
        ]
        program = str(prometheus_programs() / "prometheus")
        self._process = ServerProcess("Prometheus", [program, *options], folder / "prometheus.log")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an instant query now.

        Raises:
            AssertionError: Prometheus refuses the query; the text says why.

        """
        result: list[dict[str, Any]] = self._ask("query", query=expression)["result"]
        return result

    def alerts(self) -> dict[str, str]:
        """Return each alert that is pending or firing, with its state."""
        return {alert["labels"]["alertname"]: alert["state"] for alert in self._ask("alerts")["alerts"]}

    def rules(self) -> dict[str, str]:
        """Return the health of each rule that is loaded: ``ok`` if its last evaluation went well."""
        return {rule["name"]: rule["health"] for group in self._ask("rules")["groups"] for rule in group["rules"]}

    def _ask(self, path: str, **parameters: str) -> Any:
        url = f"http://{HOST}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=_REQUEST_SECONDS) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters or path}: {error.read().decode(errors='replace')}") from None

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{HOST}:{self._port}/-/ready", timeout=_REQUEST_SECONDS) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (urllib.error.URLError, OSError):
            return False

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self._process.wait_until(self._is_ready, _START_SECONDS)
        except BaseException:
            self._process.stop(_STOP_SECONDS)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stop(_STOP_SECONDS)
