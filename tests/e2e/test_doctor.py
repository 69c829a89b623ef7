"""``flowbridge doctor`` on real servers: silent where all is well, and it finds what is planted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # offered, not exported
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from bridge.errors import ExitCode
from e2e.installation import Installation
from servers.loopback import free_port
from servers.topics import make_topics, remove_topics

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from servers.choice import AnyKafka, AnyKubernetes

TRIGGER = """
apiVersion: flowbridge.dev/v1
kind: Trigger
metadata: {name: %s}
spec:
  events: [{name: %s, parameters: {order: id}}]
  run: {workflowTemplate: %s}
"""


def findings(
    installation: Installation, *options: str, code: int = ExitCode.OK, **settings: str
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return what the doctor finds, and its summary."""
    done = installation.command("doctor", "-o", "json", *options, **settings)
    assert done.returncode == code, done.stdout + done.stderr
    *found, summary = map(json.loads, done.stdout.splitlines())
    return found, summary


def plant(bootstrap: str, topic: str, settings: Mapping[str, str]) -> None:
    """Give a topic settings that it should not have."""
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(timeout=30)


@pytest.fixture
def installation(kafka: AnyKafka, kubernetes: AnyKubernetes, tmp_path: Path) -> Installation:
    """An installation of the test's own."""
    return Installation(kafka, kubernetes, tmp_path)


@pytest.fixture
def healthy(installation: Installation) -> Iterator[Installation]:
    """An installation whose bridge has run for a moment, with a trigger on each of three events."""
    installation.create_template("ship", order=None)
    names = [f"doctor.{part}.{installation.namespace}" for part in "abc"]
    texts = [TRIGGER % (f"t{number}", name, "ship") for number, name in enumerate(names)]
    installation.write_triggers("---".join(texts))
    with installation.process() as bridge:
        bridge.wait_ready()
        installation.wait_triggers("t0", "t1", "t2")
    yield installation
    remove_topics(installation.bootstrap, *names)


def test_it_is_silent_where_all_is_well(healthy: Installation) -> None:
    found, summary = findings(healthy)
    assert found == []
    assert summary == {"kind": "summary", "triggers": 3, "errors": 0, "warnings": 0, "cluster": True}
    assert healthy.command("doctor").stdout == "3 triggers, 0 errors, 0 warnings\n"


def test_before_the_first_start_it_reads_the_files(installation: Installation) -> None:
    installation.write_triggers(TRIGGER % ("early", f"doctor.early.{installation.namespace}", "absent"))
    found, summary = findings(installation, code=ExitCode.NOT_SO)
    (only,) = found
    assert only["check"] == "templates"
    assert "there is no WorkflowTemplate 'absent'" in only["found"]
    assert summary["triggers"] == 1


def test_it_finds_what_is_planted_and_fixes_what_can_be_fixed_safely(healthy: Installation) -> None:
    prefix, bootstrap, name = healthy.prefix, healthy.bootstrap, healthy.namespace
    a, b, c = (f"doctor.{part}.{name}" for part in "abc")
    healthy.create_template("needs-more", order=None, more=None)
    healthy.create_template_of(
        "short", {"ttlStrategy": {"secondsAfterCompletion": 5}, "arguments": {"parameters": [{"name": "order"}]}}
    )
    with healthy.process() as bridge:
        bridge.wait_ready()
        texts = [
            TRIGGER % (f"u{number}", a, template) for number, template in enumerate(("absent", "needs-more", "short"))
        ]
        healthy.write_triggers("---".join(texts), "more.yaml")
        healthy.wait_triggers("t0", "t1", "t2", "u0", "u1", "u2")
    plant(bootstrap, f"{prefix}windows", {"cleanup.policy": "delete"})
    plant(bootstrap, f"{prefix}arrivals", {"message.timestamp.type": "CreateTime"})
    plant(bootstrap, f"{prefix}ledger", {"retention.ms": "3600000"})
    remove_topics(bootstrap, f"{prefix}retries")
    plant(bootstrap, a, {"cleanup.policy": "compact"})
    plant(bootstrap, b, {"message.timestamp.type": "CreateTime"})
    plant(bootstrap, c, {"retention.ms": "60000"})
    (healthy.schemas / "broken.avsc").write_text("{")
    planted = {
        "FLOWBRIDGE_LEDGER_HORIZON": "30d",
        "FLOWBRIDGE_WINDOW_BYTES": str(10**14),
        "FLOWBRIDGE_WINDOW_DISK_BYTES": str(10**15),
        "FLOWBRIDGE_SCHEMA_REGISTRY_URL": f"http://127.0.0.1:{free_port()}",
    }
    found, summary = findings(healthy, code=ExitCode.NOT_SO, **planted)
    told = {(each["check"], each["subject"].removeprefix(prefix), each["found"].split(" is ")[0]) for each in found}
    assert {
        ("brokers", "broker 1", "offsets.retention.minutes"),
        ("internal topics", "windows", "cleanup.policy"),
        ("internal topics", "arrivals", "message.timestamp.type"),
        ("internal topics", "ledger", "retention.ms"),
        ("internal topics", "retries", "the topic does not exist"),
        ("event topics", a, "cleanup.policy"),
        ("event topics", b, "message.timestamp.type"),
        ("event topics", c, "retention.ms"),
    } <= told
    assert {each["check"] for each in found} == {
        "brokers",
        "internal topics",
        "event topics",
        "memory",
        "disk",
        "schemas",
        "templates",
    }
    texts = [each["found"] for each in found if each["check"] == "templates"]
    assert any("there is no WorkflowTemplate 'absent'" in text for text in texts)
    assert any("nothing fills the parameter 'more'" in text for text in texts)
    assert any("disappear after 5 s" in text for text in texts)
    assert [each["subject"].rpartition("/")[2] for each in found if each["check"] == "schemas"] == [
        "broken.avsc",
        "schema registry",
    ]
    assert len(found) >= 12
    assert summary["errors"] + summary["warnings"] == len(found)

    make_topics(bootstrap, f"{prefix}retries", partitions=4)
    fixed, _ = findings(healthy, "--fix", code=ExitCode.NOT_SO)
    settings = {(each["topic"].removeprefix(prefix), each["setting"]) for each in fixed if each["kind"] == "fixed"}
    assert {
        ("windows", "cleanup.policy"),
        ("arrivals", "message.timestamp.type"),
        ("ledger", "retention.ms"),
    } <= settings
    left, _ = findings(healthy, code=ExitCode.NOT_SO)
    assert "internal topics" not in {each["check"] for each in left}
    assert {each["subject"] for each in left if each["check"] == "event topics"} == {a, b, c}


def test_it_says_which_rights_the_account_lacks_in_the_cluster(
    healthy: Installation, kubernetes: AnyKubernetes
) -> None:
    token = kubernetes.service_account_token(healthy.namespace, "default")
    kubeconfig = kubernetes.kubeconfig_for(token, namespace=healthy.namespace)
    found, _ = findings(healthy, code=ExitCode.NOT_SO, KUBECONFIG=str(kubeconfig))
    assert {each["check"] for each in found} == {"rights in the cluster"}
    texts = sorted(each["found"] for each in found)
    assert texts == [
        f"the account may not create, get, list, watch workflows.argoproj.io in the namespace {healthy.namespace}",
        f"the account may not get workflowtemplates.argoproj.io in the namespace {healthy.namespace}",
    ]
    assert findings(healthy, "--no-cluster", KUBECONFIG=str(kubeconfig))[0] == []
