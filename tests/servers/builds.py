"""What the servers run from: Kafka's jars from Maven, kube-apiserver and etcd from their Go modules.

The first build of the control plane takes several minutes on two cores; everything after that is a look into the
cache.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from servers.cache import cached
from servers.process import ServerError

KUBERNETES_VERSION = "v1.37.2"
"""What kube-apiserver says that it is; the version in ``apiserver/go.mod``."""

_BROKER = Path(__file__).with_name("broker")
_APISERVER = Path(__file__).with_name("apiserver")
_ARGO_CONTROLLER = Path(__file__).with_name("argo_controller")
_ARGO = {"workflows": Path(__file__).with_name("argo_events"), "templates": Path(__file__).with_name("argo_workflows")}
_JAVA_AVRO = Path(__file__).with_name("java_avro")
_REGISTRY = Path(__file__).with_name("schema_registry")
_PROMETHEUS = Path(__file__).with_name("prometheus")
_TIME_LIMIT_SECONDS = 45 * 60
_SHOWN_LINES = 25


def broker_jars() -> Path:
    """Return the folder of jars that a Kafka broker runs from.

    Raises:
        ServerError: Maven or Java is missing, or Maven could not get the jars.

    """
    pom = _BROKER / "pom.xml"
    return cached("broker", [pom.read_bytes()], _gather_jars)


def control_plane() -> Path:
    """Return the folder that holds the programs ``etcd`` and ``kube-apiserver``.

    Raises:
        ServerError: Go is missing, or the build failed.

    """
    inputs = [f"{_machine()} {KUBERNETES_VERSION}".encode(), *_go_sources(_APISERVER)]
    return cached("control-plane", inputs, _compile_control_plane)


def argo_programs() -> Path:
    """Return the folder of the programs made of Argo's own code: ``workflows`` and ``templates`` (servers/argo.py).

    Raises:
        ServerError: Go is missing, or the build failed.

    """
    sources = [content for folder in _ARGO.values() for content in _go_sources(folder)]
    return cached("argo", [_machine().encode(), *sources], _compile_argo)


def argo_controller() -> Path:
    """Return the folder of Argo's own controller: the program ``workflow-controller``, and its kinds in ``crds``.

    Raises:
        ServerError: Go is missing, or the build failed.

    """
    return cached("argo-controller", [_machine().encode(), *_go_sources(_ARGO_CONTROLLER)], _compile_argo_controller)


def schema_registry() -> Path:
    """Return the folder that holds the program ``registry``, a schema registry in memory.

    Raises:
        ServerError: Go is missing, or the build failed.

    """
    return cached("schema-registry", [_machine().encode(), *_go_sources(_REGISTRY)], _compile_registry)


def prometheus_programs() -> Path:
    """Return the folder that holds the programs ``prometheus`` and ``promtool`` (servers/prometheus.py).

    Raises:
        ServerError: Go is missing, or the build failed.

    """
    return cached("prometheus", [_machine().encode(), *_go_sources(_PROMETHEUS)], _compile_prometheus)


def java_avro() -> Path:
    """Return the folder of jars, one of which answers questions to Java's Avro (servers/java_avro.py).

    Raises:
        ServerError: Maven or a Java development kit is missing, or the build failed.

    """
    inputs = [(_JAVA_AVRO / name).read_bytes() for name in ("pom.xml", "Ask.java")]
    return cached("java-avro", inputs, _compile_java_avro)


def _machine() -> str:
    return f"{platform.system()} {platform.machine()}"


def _go_sources(folder: Path) -> list[bytes]:
    sources = sorted(path for path in folder.rglob("*") if path.suffix in {".go", ".mod", ".sum"})
    return [path.read_bytes() for path in sources]


def _gather_jars(folder: Path) -> None:
    say("fetching Apache Kafka (about half a minute, once)")
    _copy_jars(_BROKER, folder)


def _copy_jars(project: Path, folder: Path) -> None:
    need("java", "a Java runtime, version 17 or later")
    need("mvn", "Apache Maven")
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
    run(["mvn", "--quiet", "--batch-mode", "--file", str(project / "pom.xml"), *goal], project)


def _compile_java_avro(folder: Path) -> None:
    say("fetching Java's Avro (some seconds, once)")
    _copy_jars(_JAVA_AVRO, folder)
    need("javac", "a Java development kit, version 17 or later")
    classes = folder / "classes"
    run(["javac", "-cp", f"{folder}/*", "-d", str(classes), "Ask.java"], _JAVA_AVRO)
    run(["jar", "--create", "--file", str(folder / "ask.jar"), "-C", str(classes), "."], folder)


def _compile_control_plane(folder: Path) -> None:
    say("building kube-apiserver and etcd (about six minutes on two cores, once)")
    need("go", "Go, version 1.26 or later")
    flags = f"-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES_VERSION}"  # kubectl rejects v0.0.0
    _go_build(_APISERVER, f"{folder}/", flags, "./etcd", "./kube-apiserver")


def _compile_argo(folder: Path) -> None:
    say("building what asks Argo's own code (about two minutes on two cores, once)")
    need("go", "Go, version 1.26 or later")
    for program, module in _ARGO.items():
        _go_build(module, f"{folder}/{program}", "-s -w", f"./{program}")


def _compile_argo_controller(folder: Path) -> None:
    say("building Argo's workflow-controller (about four minutes on two cores, once)")
    need("go", "Go, version 1.26 or later")
    module = "github.com/argoproj/argo-workflows/v4"
    _go_build(_ARGO_CONTROLLER, f"{folder}/workflow-controller", "-s -w", f"{module}/cmd/workflow-controller")
    sources = run(["go", "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", module], _ARGO_CONTROLLER).strip()
    shutil.copytree(Path(sources, "manifests", "base", "crds", "minimal"), folder / "crds")


def _compile_registry(folder: Path) -> None:
    say("building a schema registry (about a quarter of a minute, once)")
    need("go", "Go, version 1.26 or later")
    _go_build(_REGISTRY, f"{folder}/registry", "-s -w", "./registry")


def _compile_prometheus(folder: Path) -> None:
    say("building Prometheus and promtool (about four minutes on two cores, once)")
    need("go", "Go, version 1.26 or later")
    programs = [f"github.com/prometheus/prometheus/cmd/{name}" for name in ("prometheus", "promtool")]
    # Without the discovery of services in clouds it takes half the time. The UI is a tag that is not set.
    _go_build(_PROMETHEUS, f"{folder}/", "-s -w", "-trimpath", "-tags=remove_all_sd", *programs)


def _go_build(module: Path, output: str, flags: str, *words: str) -> None:
    build = ["go", "build", "-mod=readonly", "-buildvcs=false", "-ldflags", flags, "-o", output, *words]
    run(build, module, {"CGO_ENABLED": "0"})


def need(program: str, what: str) -> None:
    """Raise a ServerError that says what is missing, unless the program is on PATH."""
    if shutil.which(program) is None:
        raise ServerError(
            f"`{program}` was not found on PATH. The servers of the tests need {what}; "
            "FLOWBRIDGE_TEST_SERVERS=off leaves out the tests that use them",
        )


def run(command: list[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Run a step of a build in a folder; return its output. A ServerError has the end of what a failed one printed."""
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=_TIME_LIMIT_SECONDS,
    )
    if result.returncode != 0:
        tail = "\n".join(result.stdout.splitlines()[-_SHOWN_LINES:])
        raise ServerError(f"`{' '.join(command[:2])}` failed with exit code {result.returncode}:\n{tail}")
    return result.stdout


def say(text: str) -> None:
    """Tell the person who waits."""
    print(f"test servers: {text}", file=sys.stderr, flush=True)
