"""Both distributions as their users get them: built, installed into an empty environment, and working from there."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "bridge/cli/dev/example/triggers.yaml"

# Encodes and decodes one record of each schema of ours, found where the package was installed.
READ_SCHEMAS = """
from bridge.kafka.records import TICK, schemas_folder
assert "site-packages" in str(schemas_folder()), schemas_folder()
assert TICK.decode(TICK.encode({"safe": [], "retired": []})) == {"safe": [], "retired": []}
print(len(list(schemas_folder().glob("*.avsc"))))
"""
USE_SDK = """
from flowbridge_sdk.codec import Decoder, Encoder
payload = {"order_id": "o-1", "amount": 12.5}
assert Decoder().decode("order.created", Encoder().encode("order.created", payload)) == payload
"""


def uv(*arguments: str, cwd: Path) -> None:
    found = shutil.which("uv") or str(ROOT / "build/tools/bin/uv")
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    subprocess.run([found, *arguments], cwd=cwd, check=True, env=environment, timeout=240, capture_output=True)


def run(environment: Path, *command: str) -> str:
    done = subprocess.run(
        [str(environment / "bin" / command[0]), *command[1:]],
        cwd=environment,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(environment)},
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--all-packages", "--wheel", "--out-dir", str(folder), cwd=ROOT)
    return {path.name.split("-")[0]: path for path in folder.glob("*.whl")}


def installed(tmp_path: Path, *wheels: Path) -> Path:
    environment = tmp_path / "environment"
    uv("venv", "--python", "3.11", str(environment), cwd=tmp_path)
    uv("pip", "install", "--python", str(environment / "bin/python"), *map(str, wheels), cwd=tmp_path)
    return environment


def test_the_bridge_works_from_its_wheel_with_its_schemas(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = installed(tmp_path, wheels["flowbridge"], wheels["flowbridge_sdk"])
    schemas = len(list((ROOT / "schemas").glob("*.avsc")))
    assert run(environment, "python", "-c", READ_SCHEMAS).strip() == str(schemas)
    assert "flowbridge" in run(environment, "flowbridge", "version")
    run(environment, "flowbridge", "check", str(EXAMPLE))
    assert "3 Workflows, as expected" in run(environment, "flowbridge", "dev", "--once")


def test_the_sdk_needs_two_packages_and_works_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = installed(tmp_path, wheels["flowbridge_sdk"])
    run(environment, "python", "-c", USE_SDK)
    packages = {path.name.split("-")[0] for path in (environment / "lib").glob("python*/site-packages/*.dist-info")}
    assert packages == {"flowbridge_sdk", "confluent_kafka", "fastavro"}
