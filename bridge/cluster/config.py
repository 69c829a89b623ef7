"""The configuration of the cluster and the bridge's credentials: a kubeconfig, or the account of the bridge's pod.

The order is that of Kubernetes' own clients: a kubeconfig that is named, the files that ``KUBECONFIG`` names,
``~/.kube/config``, the in-cluster account. A named file that is wrong is an error. The bridge never skips it.

The ``kubernetes`` package takes 0.4 s to import, and types its parts unevenly, so it is imported by name inside
functions.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from bridge.file_state import FileState, file_state

_HOME_CONFIG = Path("~/.kube/config")
_GUESSING = ("chardet", "charset_normalizer")
_SERVICE_HOST = "KUBERNETES_SERVICE_HOST"
logger = logging.getLogger(__name__)


class ClusterConfigError(Exception):
    """No usable configuration of a cluster. The text has what was looked for, what was found, and what is expected."""


def cluster_client(kubeconfig: str | None, *, context: str | None, connections: int) -> Any:
    """Return a ``kubernetes.client.ApiClient`` that never retries by itself.

    Args:
        kubeconfig: Path of a kubeconfig (several, separated as in PATH); None for the usual places.
        context: Context of the kubeconfig; None for its current one.
        connections: Connections to keep open: as many as requests are made at the same time.

    Raises:
        ClusterConfigError: There is no configuration, or it cannot be used.

    """
    client: Any = _part_of_kubernetes("client")
    settings = client.Configuration()
    settings.connection_pool_maxsize = connections
    settings.retries = False
    named = kubeconfig or os.environ.get("KUBECONFIG")
    if named:
        source = "the kubeconfig that was given" if kubeconfig else "KUBECONFIG"
        _load_files(named, source, context, settings)
    elif _HOME_CONFIG.expanduser().is_file():
        _load_files(str(_HOME_CONFIG.expanduser()), "the home folder", context, settings)
    else:
        config: Any = _part_of_kubernetes("config")
        try:
            config.load_incluster_config(client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            where = "in a pod" if os.environ.get(_SERVICE_HOST) else f"not in a pod ({_SERVICE_HOST} is not set)"
            raise ClusterConfigError(
                f"no cluster is configured: KUBECONFIG is not set, {_HOME_CONFIG} does not exist, and the in-cluster "
                f"account cannot be used ({where}): {error}. Set KUBECONFIG to a kubeconfig file"
            ) from error
    try:
        # The client would read a wrong certificate only with each request, and the bridge would retry without end.
        certificates = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if settings.verify_ssl and settings.ssl_ca_cert:
            certificates.load_verify_locations(settings.ssl_ca_cert)
        if settings.cert_file:  # the empty password: never ask for a passphrase
            certificates.load_cert_chain(settings.cert_file, settings.key_file, password="")
        return client.ApiClient(settings)
    except (OSError, ValueError) as error:  # certificate files that are missing or broken
        raise ClusterConfigError(f"the certificates of the cluster's configuration cannot be read: {error}") from error


def _part_of_kubernetes(name: str) -> Any:
    """Import a part of the ``kubernetes`` package, but not what guesses the encoding of texts.

    The package imports ``requests``, with which it renews the tokens of a kubeconfig's OIDC user. ``requests`` imports
    what guesses the encoding of an answer that does not say it, which takes 3 MB and 40 ms. It works without that, and
    these answers are JSON.
    """
    left_out = [] if "requests" in sys.modules else [each for each in _GUESSING if each not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(left_out))  # importing them fails, as if they were not installed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
            return import_module(f"kubernetes.{name}")
    except ImportError:  # before 2.32, requests does not work without it
        if not left_out:
            raise
    finally:
        for each in left_out:
            modules.pop(each, None)
    return import_module(f"kubernetes.{name}")


def _load_files(paths: str, source: str, context: str | None, settings: Any) -> None:
    config: Any = _part_of_kubernetes("config")

    if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
        raise ClusterConfigError(f"no kubeconfig at {paths!r} (from {source}): name a file that exists")
    try:
        merged = config.kube_config.KubeConfigMerger(paths).config
        loader = config.kube_config.KubeConfigLoader(merged, active_context=context, config_base_path=None)
        loader.load_and_set(settings)
        # The client takes the user's token from a file only if the user has none of these other credentials.
        user_name = loader.current_context["context"].get("user")
        entry: Any = merged["users"].get_with_name(user_name, safe=True) if user_name else None
        user = entry.value.get("user") if entry is not None else None
        others = ("token", "exec", "auth-provider")
        token_file: Path | None = None
        if user and not any(other in user for other in others) and user.get("tokenFile"):
            token_file = Path(entry.path).absolute().parent.joinpath(user["tokenFile"])
    except config.ConfigException as error:
        raise ClusterConfigError(f"the kubeconfig {paths!r} (from {source}) cannot be used: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        # The loader does not check what the YAML holds, and fails with an error of Python if it is no kubeconfig.
        reason = " ".join(str(error).split())
        raise ClusterConfigError(f"{paths!r} (from {source}) is no kubeconfig: {reason}") from error
    if token_file is not None:
        settings.refresh_api_key_hook = _FileToken(token_file).renew
        settings.refresh_api_key_hook(settings)


class _FileToken:
    """The token in a file, which is read again when the file has changed.

    Tokens of accounts are renewed before they expire, but the client reads such a file only once. While the file cannot
    be read, the known token stays in use.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: FileState = ()

    def renew(self, settings: Any) -> None:
        """Put the token into a ``kubernetes.client.Configuration``; called before each request."""
        try:
            state = file_state(self._path)
            if state and state == self._seen:
                return
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._seen:
                logger.warning("%s cannot be read, and the known token stays in use: %s", self._path, error)
            self._seen = ()
            return
        if token:  # else the file is being written
            settings.api_key["BearerToken"] = f"Bearer {token}"
            self._seen = state
