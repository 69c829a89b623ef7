"""Fixtures of real servers, and what follows for the tests that use them.

Such tests are marked ``servers``. ``FLOWBRIDGE_TEST_SERVERS=off`` leaves them out and says so; otherwise, where the
servers cannot be built or started, they fail: none is ever skipped. A test that starts a server of its own
(``KafkaServer()``) marks itself.
"""

from __future__ import annotations

import os
import signal
import uuid
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from frameworks.environments import Environment, environment
from servers import builds
from servers.choice import SETTING, Choice, chosen, new_kafka, new_kubernetes, stated
from servers.java_avro import ask_java
from servers.process import ServerError
from servers.registry import RegistryServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from servers.choice import AnyKafka, AnyKubernetes
    from servers.controller import ArgoController
    from servers.java_avro import Question

# How long an example takes says more of the machine than of the code. CI tries the same examples each time: what a new
# one finds is to stop whoever looks for it, not whoever lands something else.
settings.register_profile("here", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("here")

_FRAMEWORKS = ("spark", "flink", "quix", "bytewax", "airflow", "dagster", "prefect")
_LARGE_FIXTURES: dict[str, Callable[[], object]] = {
    "argo": builds.argo_programs,
    "argo_controller": builds.argo_controller,
    "prometheus": builds.prometheus_programs,
    **{name: partial(environment, name) for name in _FRAMEWORKS},
}
"""Fixtures that rest on large builds, and what makes them."""

_SMALL_FIXTURES: dict[str, Callable[[], object]] = {
    "schema_registry": builds.schema_registry,
    "java_avro": builds.java_avro,
}
"""Fixtures that rest on builds of less than half a minute."""

_BUILT_FIXTURES = _SMALL_FIXTURES | _LARGE_FIXTURES
_SERVER_FIXTURES = {"kafka", "kubernetes", "namespace", *_BUILT_FIXTURES}
_LEFT_OUT = pytest.StashKey[int]()
_CHOICE = pytest.StashKey[Choice]()
_UNBUILT = pytest.StashKey[ServerError]()


def pytest_configure() -> None:
    """Refuse a setting that nobody would understand before anything runs, and let processes hear Ctrl-C.

    A shell starts what runs in its background with SIGINT ignored, and children inherit that.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stated()
    except ServerError as error:
        raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the tests that use servers, and leave them out where they are off."""
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if _SERVER_FIXTURES & fixtures:
            item.add_marker(pytest.mark.servers)
        if _LARGE_FIXTURES.keys() & fixtures:
            item.add_marker(pytest.mark.integrations)
    on_servers = [item for item in items if item.get_closest_marker("servers")]
    if not on_servers:
        return
    config.stash[_CHOICE] = chosen()
    if config.stash[_CHOICE] is Choice.OFF:
        items[:] = [item for item in items if not item.get_closest_marker("servers")]
        config.hook.pytest_deselected(items=on_servers)
        config.stash[_LEFT_OUT] = len(on_servers)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the selected tests need: here, because a first build outlasts any test's time limit."""
    config = session.config
    needed = [item for item in session.items if item.get_closest_marker("servers")]
    if config.option.collectonly or not needed:
        return
    with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        try:
            if config.stash[_CHOICE] is Choice.PROCESSES:
                builds.broker_jars()
                builds.control_plane()
            for fixture in {fixture for item in needed for fixture in getattr(item, "fixturenames", ())}:
                if fixture in _BUILT_FIXTURES:
                    _BUILT_FIXTURES[fixture]()
        except ServerError as error:
            config.stash[_UNBUILT] = error


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, so that a quick run is not taken for a whole one."""
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{SETTING}=off left out {left_out} tests on real servers")


@pytest.fixture(scope="session")
def kafka(pytestconfig: pytest.Config) -> Iterator[AnyKafka]:
    """A Kafka broker that all tests share: use topics of your own, and leave it running."""
    with new_kafka(_buildable(pytestconfig)) as server:
        yield server


@pytest.fixture(scope="session")
def kubernetes(pytestconfig: pytest.Config) -> Iterator[AnyKubernetes]:
    """A Kubernetes API server that all tests share: use a ``namespace``, and leave it running."""
    with new_kubernetes(_buildable(pytestconfig)) as server:
        yield server


@pytest.fixture
def schema_registry(pytestconfig: pytest.Config) -> Iterator[RegistryServer]:
    """A schema registry of the test's own, empty."""
    _buildable(pytestconfig)
    with RegistryServer() as server:
        yield server


@pytest.fixture(scope="session")
def java_avro(pytestconfig: pytest.Config) -> Callable[[Sequence[Question]], list[list[str]]]:
    """What asks Java's own Avro (servers/java_avro.py)."""
    _buildable(pytestconfig)
    return ask_java


@pytest.fixture
def namespace(kubernetes: AnyKubernetes) -> str:
    """A namespace of the test's own."""
    return kubernetes.create_namespace(f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def argo(pytestconfig: pytest.Config) -> None:
    """Argo's own code as programs (servers/argo.py)."""
    _buildable(pytestconfig)


@pytest.fixture(scope="session")
def prometheus(pytestconfig: pytest.Config) -> None:
    """Prometheus and promtool as programs (servers/prometheus.py)."""
    _buildable(pytestconfig)


@pytest.fixture(scope="session")
def argo_controller(
    kubernetes: AnyKubernetes, pytestconfig: pytest.Config
) -> Iterator[Callable[[str], ArgoController]]:
    """Start Argo's own controller in a namespace: from then on its Workflows run. Those of other tests do not."""
    from servers.controller import ArgoController  # noqa: PLC0415 - the clients of servers take long to import

    _buildable(pytestconfig)
    with ExitStack() as started:
        yield lambda namespace: started.enter_context(ArgoController(kubernetes, namespace))


@pytest.fixture(scope="session")
def spark(pytestconfig: pytest.Config) -> Environment:
    """Spark, installed (frameworks/spark)."""
    return _framework("spark", pytestconfig)


@pytest.fixture(scope="session")
def flink(pytestconfig: pytest.Config) -> Environment:
    """Flink, installed (frameworks/flink)."""
    return _framework("flink", pytestconfig)


@pytest.fixture(scope="session")
def quix(pytestconfig: pytest.Config) -> Environment:
    """Quix Streams, installed (frameworks/quix)."""
    return _framework("quix", pytestconfig)


@pytest.fixture(scope="session")
def bytewax(pytestconfig: pytest.Config) -> Environment:
    """Bytewax, installed (frameworks/bytewax)."""
    return _framework("bytewax", pytestconfig)


@pytest.fixture(scope="session")
def airflow(pytestconfig: pytest.Config) -> Environment:
    """Airflow, installed (frameworks/airflow)."""
    return _framework("airflow", pytestconfig)


@pytest.fixture(scope="session")
def dagster(pytestconfig: pytest.Config) -> Environment:
    """Dagster, installed (frameworks/dagster)."""
    return _framework("dagster", pytestconfig)


@pytest.fixture(scope="session")
def prefect(pytestconfig: pytest.Config) -> Environment:
    """Prefect, installed (frameworks/prefect)."""
    return _framework("prefect", pytestconfig)


def _framework(name: str, config: pytest.Config) -> Environment:
    _buildable(config)
    return environment(name)


def _buildable(config: pytest.Config) -> Choice:
    if _UNBUILT in config.stash:
        raise config.stash[_UNBUILT]
    return config.stash[_CHOICE]
