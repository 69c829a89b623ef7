"""What tests do with a Kubernetes cluster, whichever way it was started: kinds, namespaces, accounts, kubeconfigs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

from servers.process import wait_for

_KINDS = Path(__file__).with_name("kinds.yaml")
_REQUEST_SECONDS = 10
_ESTABLISHED_SECONDS = 30.0
_CONFLICT = 409


class Cluster:
    """A cluster that a kubeconfig of an administrator leads to.

    Attributes:
        folder: Where kubeconfigs are written.
        kubeconfig: The administrator's.

    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.kubeconfig = folder / "admin.kubeconfig"

    @property
    def url(self) -> str:
        """Where the API server answers, with TLS."""
        return str(self._cluster_entry()["server"])

    def api(self) -> client.ApiClient:
        """Return a new client of the administrator; its user closes it."""
        return client_of(self.kubeconfig)

    def create_namespace(self, name: str) -> str:
        """Create a namespace and return its name. Nothing in here ever deletes one.

        Raises:
            kubernetes.client.ApiException: The name is taken or not allowed.

        """
        with self.api() as api:
            body: Any = {"metadata": {"name": name}}
            client.CoreV1Api(api).create_namespace(body, _request_timeout=_REQUEST_SECONDS)
        return name

    def service_account_token(self, namespace: str, name: str, *, seconds: int = 3600) -> str:
        """Return a token of a ServiceAccount (TokenRequest API), which is created if it is not there.

        It may do nothing until a RoleBinding says so.
        """
        with self.api() as api:
            core = client.CoreV1Api(api)
            try:
                body: Any = {"metadata": {"name": name}}
                core.create_namespaced_service_account(namespace, body, _request_timeout=_REQUEST_SECONDS)
            except client.ApiException as error:
                if error.status != _CONFLICT:
                    raise
            request: Any = {"spec": {"expirationSeconds": seconds}}
            answer: Any = core.create_namespaced_service_account_token(
                name,
                namespace,
                request,
                _request_timeout=_REQUEST_SECONDS,
            )
        return str(answer.status.token)

    def kubeconfig_for(self, token: str, *, namespace: str = "default", url: str | None = None) -> Path:
        """Write a kubeconfig that comes with ``token`` and return its path.

        Args:
            token: Of a ServiceAccount or of a user.
            namespace: The context's namespace.
            url: Another way to the same API server, such as a proxy on 127.0.0.1.

        """
        entry = self._cluster_entry()
        if url is not None:
            entry["server"] = url
        number = len(list(self.folder.glob("account-*.kubeconfig")))
        path = self.folder / f"account-{number}.kubeconfig"
        write_kubeconfig(path, entry, {"token": token}, namespace)
        return path

    def install_kinds(self, *files: Path) -> None:
        """Install CustomResourceDefinitions and wait until they are served. Those that are there stay as they are.

        Args:
            files: Files with the definitions; Argo's kinds as the tests need them, if none is named.

        Raises:
            TimeoutError: One was not established within 30 s.

        """
        with self.api() as api:
            extensions = client.ApiextensionsV1Api(api)
            texts = [file.read_text() for file in files or (_KINDS,)]
            names = [_apply(extensions, kind) for text in texts for kind in yaml.load_all(text, yaml.CSafeLoader)]
            wait_for(
                lambda: all(_established(extensions, name) for name in names),
                _ESTABLISHED_SECONDS,
                "Argo's kinds to be served",
            )

    def _cluster_entry(self) -> dict[str, Any]:
        entry: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text())["clusters"][0]["cluster"]
        return entry


def client_of(kubeconfig: Path) -> client.ApiClient:
    """Return a new client of whoever the kubeconfig names; its user closes it."""
    api: client.ApiClient = config.new_client_from_config(str(kubeconfig))
    return api


def write_kubeconfig(path: Path, cluster: dict[str, Any], user: dict[str, Any], namespace: str = "default") -> None:
    """Write a kubeconfig of one cluster, one user and one context, readable by its owner only."""
    name = "flowbridge-tests"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": namespace}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def _apply(extensions: client.ApiextensionsV1Api, kind: Any) -> str:
    try:
        extensions.create_custom_resource_definition(kind, _request_timeout=_REQUEST_SECONDS)
    except client.ApiException as error:
        if error.status != _CONFLICT:
            raise
    return str(kind["metadata"]["name"])


def _established(extensions: client.ApiextensionsV1Api, name: str) -> bool:
    kind: Any = extensions.read_custom_resource_definition(name, _request_timeout=_REQUEST_SECONDS)
    conditions = kind.status.conditions or []
    return any(condition.type == "Established" and condition.status == "True" for condition in conditions)
