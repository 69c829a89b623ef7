"""What a person is told whose cluster configuration is missing or wrong."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from bridge.argo.kubernetes import KubernetesWorkflowApi
from bridge.cluster.config import ClusterConfigError, cluster_client
from unit.gateway.certificates import write_certificate

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: a, user: {token: t}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
current-context: a
"""


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


def test_with_no_configuration_at_all_it_says_where_it_looked() -> None:
    with pytest.raises(ClusterConfigError) as caught:
        KubernetesWorkflowApi()
    for looked in ("KUBECONFIG is not set", "~/.kube/config does not exist", "not in a pod"):
        assert looked in str(caught.value)


def test_a_named_file_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(ClusterConfigError, match=rf"no kubeconfig at '{missing}' \(from the kubeconfig that was given"):
        KubernetesWorkflowApi(missing)
    monkeypatch.setenv("KUBECONFIG", missing)
    with pytest.raises(ClusterConfigError, match=r"from KUBECONFIG\)"):
        KubernetesWorkflowApi()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not: [closed",
        "just text",
        "[1, 2]",
        "{}",
        "apiVersion: v1",
        GOOD.replace("current-context: a", ""),
        GOOD.replace("current-context: a", "current-context: b"),
        GOOD.replace("{name: a, cluster:", "{name: b, cluster:"),
        GOOD.replace('server: "http://127.0.0.1:1"', 'server: "https://127.0.0.1:1", certificate-authority: /missing'),
        GOOD.replace('server: "http://127.0.0.1:1"', 'server: "https://127.0.0.1:1", certificate-authority-data: "a"'),
        GOOD.replace("clusters: [", "clusters: 7 #["),
        "\x00",
    ],
)
def test_a_broken_file_is_named_and_never_a_traceback(tmp_path: Path, content: str) -> None:
    path = tmp_path / "broken"
    path.write_text(content)
    with pytest.raises(ClusterConfigError, match=str(path)):
        KubernetesWorkflowApi(str(path))


def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(GOOD)
    with pytest.raises(ClusterConfigError, match="elsewhere"):
        KubernetesWorkflowApi(str(path), context="elsewhere")


def test_the_home_folder_and_kubeconfig_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".kube").mkdir()
    home = tmp_path / ".kube" / "config"
    home.write_text(GOOD)
    KubernetesWorkflowApi().close()
    home.write_text("broken")
    named = tmp_path / "named"
    named.write_text(GOOD)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}:{named}")
    KubernetesWorkflowApi().close()


def test_importing_the_api_does_not_import_the_client() -> None:
    code = "import sys, bridge.argo.kubernetes; sys.exit('kubernetes.client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def headers(client: Any) -> str:
    sent: dict[str, str] = {}
    client.update_params_for_auth(sent, [], ["BearerToken"], "", "", None)
    return sent.get("authorization", "")


@pytest.mark.parametrize("is_relative", [False, True])
def test_a_token_in_a_file_is_read_again_when_it_changes(tmp_path: Path, is_relative: bool) -> None:  # noqa: FBT001 - a parameter of the test
    token = tmp_path / "token"
    token.write_text("first\n")
    path = tmp_path / "config"
    path.write_text(GOOD.replace("token: t", f"tokenFile: {'token' if is_relative else token}"))
    client = cluster_client(str(path), context=None, connections=1)
    assert headers(client) == "Bearer first"
    renewed = tmp_path / "renewed"
    renewed.write_text("other")
    renewed.replace(token)  # as the kubelet does
    assert headers(client) == "Bearer other"
    token.write_text("written in place\n")
    assert headers(client) == "Bearer written in place"
    token.unlink()
    assert headers(client) == "Bearer written in place"
    token.write_text("")
    assert headers(client) == "Bearer written in place"
    token.write_text("back")
    assert headers(client) == "Bearer back"


def test_a_token_of_the_kubeconfig_itself_wins_over_a_file(tmp_path: Path) -> None:
    path = tmp_path / "config"
    (tmp_path / "token").write_text("of the file")
    path.write_text(GOOD.replace("token: t", "token: t, tokenFile: token"))
    assert headers(cluster_client(str(path), context=None, connections=1)) == "Bearer t"


def test_a_token_file_that_is_missing_at_the_start_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config"
    path.write_text(GOOD.replace("token: t", "tokenFile: gone"))
    with pytest.raises(ClusterConfigError, match="gone"):
        KubernetesWorkflowApi(str(path))


@pytest.mark.parametrize("passphrase", [None, b"secret"])
def test_a_client_key_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, passphrase: bytes | None) -> None:
    pem = write_certificate(tmp_path / "tls", passphrase)
    file = tmp_path / "tls" / "both.pem"
    path = tmp_path / "config"
    user = f"client-certificate: {file}, client-key: {file}"
    if passphrase is None:
        path.write_text(GOOD.replace("http://", "https://").replace("token: t", user))
        KubernetesWorkflowApi(str(path)).close()
        file.write_bytes(pem[:-100])
    path.write_text(GOOD.replace("http://", "https://").replace("token: t", user))
    with pytest.raises(ClusterConfigError, match="certificates of the cluster's configuration"):
        KubernetesWorkflowApi(str(path))


def test_a_certificate_authority_that_is_none_is_said_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("garbage")
    path = tmp_path / "config"
    path.write_text(
        GOOD.replace('"http://127.0.0.1:1"', f'"https://127.0.0.1:1", certificate-authority: {tmp_path}/ca.pem')
    )
    with pytest.raises(ClusterConfigError, match="certificates of the cluster's configuration"):
        KubernetesWorkflowApi(str(path))


LEAN = """
import sys
from bridge.cluster.config import ClusterConfigError, cluster_client
try:
    cluster_client(None, context=None, connections=1)
except ClusterConfigError:
    import charset_normalizer
    print("requests" in sys.modules, hasattr(sys.modules["requests"].compat.chardet, "detect"))
"""


def test_what_guesses_the_encoding_of_texts_is_not_imported_with_the_client() -> None:
    done = subprocess.run([sys.executable, "-c", LEAN], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("True False\n", "")  # others can still import it


EARLY = """
import sys

class EarlyRequests:  # before 2.32
    def find_spec(self, name, path=None, target=None):
        if name == "requests" and sys.modules.get("charset_normalizer", self) is None:
            raise ImportError("it does not work without charset_normalizer")

sys.meta_path.insert(0, EarlyRequests())
"""


def test_the_client_works_with_a_requests_that_must_guess() -> None:
    done = subprocess.run([sys.executable, "-c", EARLY + LEAN], capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("True True\n", "", 0)
