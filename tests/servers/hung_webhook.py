"""An admission webhook that hangs: a TLS server that takes connections and never answers, and its registration.

The API server calls it for every Workflow that is created in one namespace, waits for the webhook's own timeout, and
then refuses the create with a 500.
"""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from kubernetes import client

from servers.loopback import HOST
from servers.process import wait_for

if TYPE_CHECKING:
    from servers.cluster import Cluster

_REQUEST_SECONDS = 10
_KNOWN_SECONDS = 30.0


class HungWebhook:
    """A context manager: registered on entering, gone on leaving.

    Attributes:
        calls: How often the API server has called it.

    """

    def __init__(self, cluster: Cluster, namespace: str, folder: Path, *, timeout: int = 30) -> None:
        """Choose a port; nothing is registered yet.

        Args:
            cluster: Whose API server calls it.
            namespace: For Workflows of this one.
            folder: Where its certificate is written.
            timeout: Seconds for which the API server waits for it.

        """
        self.calls = 0
        self._cluster = cluster
        self._namespace = namespace
        self._timeout = timeout
        self._certificate = _certificate(folder / "webhook.pem")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "webhook.pem")
        self._server = socket.create_server((HOST, 0))
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)

    @property
    def name(self) -> str:
        """The name of its registration."""
        return f"hung.{self._namespace}.example.com"

    def remove(self) -> None:
        """Remove the registration, if it is there: creates go through again within a second or two."""
        with self._cluster.api() as api, contextlib.suppress(client.ApiException):
            client.AdmissionregistrationV1Api(api).delete_validating_webhook_configuration(
                self.name, _request_timeout=_REQUEST_SECONDS
            )

    def __enter__(self) -> Self:
        self._thread.start()
        with self._cluster.api() as api:
            client.AdmissionregistrationV1Api(api).create_validating_webhook_configuration(
                self._registration(), _request_timeout=_REQUEST_SECONDS
            )
        wait_for(self._is_known, _KNOWN_SECONDS, "the API server to know of the webhook")
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
        self._server.close()
        for connection in self._connections:
            connection.close()

    def _is_known(self) -> bool:
        """Try to create a Workflow, in a dry run and with little patience, until the webhook is called for it."""
        with self._cluster.api() as api, contextlib.suppress(Exception):
            client.CustomObjectsApi(api).create_namespaced_custom_object(
                "argoproj.io",
                "v1alpha1",
                self._namespace,
                "workflows",
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "probe"}},
                dry_run="All",
                _request_timeout=1,
            )
        return self.calls > 0

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:  # it is over
                return
            with contextlib.suppress(OSError):
                self._connections.append(self._context.wrap_socket(connection, server_side=True))
            self.calls += 1

    def _registration(self) -> Any:
        bundle = base64.b64encode(self._certificate).decode()
        rule = {
            "apiGroups": ["argoproj.io"],
            "apiVersions": ["*"],
            "operations": ["CREATE"],
            "resources": ["workflows"],
            "scope": "Namespaced",
        }
        webhook = {
            "name": self.name,
            "clientConfig": {"url": f"https://{HOST}:{self._server.getsockname()[1]}/", "caBundle": bundle},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self._namespace}},
            "rules": [rule],
            "failurePolicy": "Fail",
            "sideEffects": "None",
            "timeoutSeconds": self._timeout,
            "admissionReviewVersions": ["v1"],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": self.name},
            "webhooks": [webhook],
        }


def _certificate(path: Path) -> bytes:
    """Write a key and its own certificate for loopback; return the certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hung webhook")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + pem)
    return pem
