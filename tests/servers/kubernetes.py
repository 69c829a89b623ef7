"""A real kube-apiserver with its etcd on loopback: RBAC, validation, watches and quota are the real ones.

No kubelet and no controllers run: a Workflow stays as it was created, a deleted namespace stays ``Terminating``, and
a namespace has no ``default`` ServiceAccount. Port and data stay through ``restart`` and through ``kill`` and
``start``. Ready in about two seconds.
"""

from __future__ import annotations

import secrets
import shutil
import ssl
import tempfile
from contextlib import closing
from http import HTTPStatus
from http.client import HTTPException, HTTPSConnection
from pathlib import Path
from typing import Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from servers.builds import control_plane
from servers.cluster import Cluster, write_kubeconfig
from servers.loopback import HOST, answers, free_port
from servers.process import ServerProcess

_START_SECONDS = 60.0
_STOP_SECONDS = 4.0


class KubernetesServer(Cluster):
    """An API server and its etcd. A context manager: started on entering, stopped and removed on leaving.

    Attributes:
        token: The administrator's, in the group ``system:masters``.
        ca: Certificate that the API server's own one is checked against (PEM).

    """

    def __init__(self, folder: Path | None = None, *, tethered: bool = True) -> None:
        """Choose ports and a folder; nothing runs yet.

        Args:
            folder: Where everything of it is kept; a temporary one, removed on leaving, if not given.
            tethered: Whether it dies with this process, however that one ends.

        """
        self._temporary = folder is None
        super().__init__(folder or Path(tempfile.mkdtemp(prefix="flowbridge-kubernetes-")))
        self.token = secrets.token_urlsafe(24)
        self.ca = self.folder / "certificates" / "apiserver.crt"
        self._tethered = tethered
        self._port = free_port()
        self._etcd_port = free_port()
        self._programs: tuple[ServerProcess, ServerProcess] | None = None

    @property
    def url(self) -> str:
        """Where the API server answers, with TLS."""
        return f"https://{HOST}:{self._port}"

    @property
    def pids(self) -> tuple[int, int]:
        """The pids of etcd and of the API server."""
        etcd, apiserver = self._pair()
        return etcd.pid, apiserver.pid

    @property
    def pid(self) -> int:
        """The API server's pid."""
        return self.pids[1]

    @property
    def running(self) -> bool:
        """Whether the API server was started and has not ended."""
        return self._programs is not None and self._programs[1].running

    def start(self) -> None:
        """Start both, and wait until the API server is ready and serves Argo's kinds.

        Raises:
            ServerError: It cannot be built, or was not ready within a minute.

        """
        etcd, apiserver = self._pair()
        if not etcd.running:
            etcd.start()
            etcd.wait_until(lambda: answers(self._etcd_port), _START_SECONDS)
        apiserver.start()
        apiserver.wait_until(self._ready, _START_SECONDS)
        certificate = {"server": self.url, "certificate-authority": str(self.ca)}
        write_kubeconfig(self.kubeconfig, certificate, {"token": self.token})
        self.install_kinds()

    def stop(self) -> None:
        """Stop both within seconds, the API server first: without its etcd it lingers for a minute."""
        if self._programs is not None:
            etcd, apiserver = self._programs
            apiserver.stop(_STOP_SECONDS)
            etcd.stop(_STOP_SECONDS)

    def kill(self) -> None:
        """End both with SIGKILL. ``start`` brings them back with what they had stored."""
        for program in reversed(self._pair()):
            program.kill()

    def restart(self) -> None:
        """Stop and start both; port, certificates, tokens and data stay."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop the API server in its tracks (SIGSTOP): connections stay open, and nothing answers."""
        self._pair()[1].pause()

    def resume(self) -> None:
        """Let the API server go on after ``pause``."""
        self._pair()[1].resume()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._temporary:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _pair(self) -> tuple[ServerProcess, ServerProcess]:
        if self._programs is None:
            programs = control_plane()
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write_credentials()
            etcd = [str(programs / "etcd"), *self._etcd_options()]
            apiserver = [str(programs / "kube-apiserver"), *self._apiserver_options()]
            self._programs = (
                ServerProcess("etcd", etcd, self.folder / "etcd.log", tethered=self._tethered),
                ServerProcess("kube-apiserver", apiserver, self.folder / "apiserver.log", tethered=self._tethered),
            )
        return self._programs

    def _write_credentials(self) -> None:
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        self._private("service-accounts.pem", pem)
        self._private("tokens.csv", f'{self.token},admin,admin,"system:masters"\n'.encode())

    def _private(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)

    def _etcd_options(self) -> list[str]:
        clients, peers = f"http://{HOST}:{self._etcd_port}", f"http://{HOST}:{free_port()}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # a killed process loses nothing by it, only a machine without power would
            "--log-level=warn",
        ]

    def _apiserver_options(self) -> list[str]:
        accounts = self.folder / "service-accounts.pem"
        return [
            f"--etcd-servers=http://{HOST}:{self._etcd_port}",
            f"--bind-address={HOST}",
            f"--secure-port={self._port}",
            f"--cert-dir={self.ca.parent}",
            f"--service-account-key-file={accounts}",
            f"--service-account-signing-key-file={accounts}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.96.0.0/24",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",  # it waits for accounts that a controller would create
            "--endpoint-reconciler-type=none",  # there is no pod network that `kubernetes.default` could lead into
        ]

    def _ready(self) -> bool:
        if not (answers(self._port) and self.ca.exists()):
            return False
        try:
            trusting = ssl.create_default_context(cafile=str(self.ca))
            connection = HTTPSConnection(HOST, self._port, timeout=5, context=trusting)
            with closing(connection):
                connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.token}"})
                return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
