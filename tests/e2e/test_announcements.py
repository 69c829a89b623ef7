"""A trigger waits for the end of another trigger's run, as docs/runs.md shows, on a real Kafka and API server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes import client

from bridge.argo.workflow import RUN_KEY
from e2e.installation import DEADLINE, parameters
from flowbridge_sdk.codec import Decoder
from servers.process import wait_for

if TYPE_CHECKING:
    from e2e.installation import Installation, Manifest
    from servers.choice import AnyKubernetes

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "after-a-run.yaml"


def test_a_second_triggers_run_follows_the_end_of_the_first_ones_once_although_the_bridge_is_killed(
    installation: Installation, kubernetes: AnyKubernetes
) -> None:
    namespace, prefix = installation.namespace, installation.prefix
    text = EXAMPLE.read_text().replace("namespace: ml", f"namespace: {namespace}").replace('"ml/', f'"{namespace}/')
    text = text.replace("flowbridge.run.", f"{prefix}run.")
    installation.write_triggers(text.replace("data.updated", "chain.data").replace("labels.ready", "chain.labels"))
    for template in ("build-features", "train-model", "tell-people"):
        installation.create_template(template, table="none", built_by="none", trigger="none", workflow="none", phase="")

    def end(workflow: Manifest, phase: str) -> None:
        """End a Workflow as Argo's controller does."""
        body: dict[str, Any] = {"metadata": {"labels": {"workflows.argoproj.io/phase": phase}}}
        with kubernetes.api() as api:
            client.CustomObjectsApi(api).patch_namespaced_custom_object(
                "argoproj.io", "v1alpha1", namespace, "workflows", workflow["metadata"]["name"], body
            )

    on = {"FLOWBRIDGE_ANNOUNCE_RUNS": "true"}
    refused = installation.command("check")
    assert refused.returncode == 1
    assert "the setting announce_runs is off" in refused.stdout
    assert installation.command("check", **on).returncode == 0
    with installation.process(**on) as bridge:
        installation.wait_triggers("build-features", "train-model", "tell-people")
        with installation.publisher() as publisher:
            publisher.publish("chain.data", {"table": "orders"})
            publisher.publish("chain.data", {"table": "users"})
            publisher.publish("chain.labels", {"table": "orders"})
        built = {parameters(each)["table"]: each for each in installation.wait_workflows("build-features", 2)}
        installation.wait_processed()
        assert installation.workflows("train-model") == []
        bridge.kill()
    end(built["orders"], "Succeeded")
    end(built["users"], "Failed")
    with installation.process("after", **on):
        (trained,) = installation.wait_workflows("train-model", 1)
        (told,) = installation.wait_workflows("tell-people", 1)
        assert parameters(trained) == {"table": "orders", "built_by": built["orders"]["metadata"]["name"]}
        assert parameters(told)["workflow"] == built["users"]["metadata"]["name"]
        assert parameters(told)["phase"] == "failed"
        end(told, "Failed")

        def failed() -> list[dict[str, Any]]:
            return [Decoder().decode("run.failed", value) for value in installation.records("run.failed")]

        wait_for(lambda: len(failed()) == 2, DEADLINE, "the failure of the run that tells people")
        installation.wait_processed()
        (succeeded,) = [Decoder().decode("", value) for value in installation.records("run.succeeded")]
    assert succeeded["run_key"] == built["orders"]["metadata"]["annotations"][RUN_KEY]
    assert succeeded["parameters"] == {"table": "orders"}
    assert len(installation.records("run.created")) == 4
    assert [len(installation.workflows(name)) for name in ("build-features", "train-model", "tell-people")] == [2, 1, 1]
