"""HTTPS: a certificate that is read again when it changes."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

from bridge.file_state import file_state

_log = logging.getLogger(__name__)


class Certificate:
    """A certificate and the TLS context that uses it.

    Attributes:
        context: For a server; TLS 1.2 or later. New connections see a new certificate.

    """

    def __init__(self, certificate: Path, key: Path | None = None) -> None:
        """Read the files.

        Raises:
            OSError: They cannot be read, or are no certificate with its key (``ssl.SSLError`` is one, too).

        """
        self._files = [path for path in (certificate, key) if path is not None]
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._seen = file_state(*self._files)
        self._load(self.context)

    def refresh(self) -> None:
        """Read the files again if they have changed; if they are wrong, the known certificate stays in use."""
        state = file_state(*self._files)
        if state == self._seen:
            return
        self._seen = state
        try:
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a half-written pair must not reach the one in use
            self._load(self.context)
        except OSError as error:
            _log.error("the certificate that is known stays: %s", error)  # a person's file, not a bug

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._files[0], self._files[-1], password="")
