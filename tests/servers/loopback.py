"""Addresses on this machine for servers that have to come back to the same port."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"

_LOWEST_PORT = 20_000
_HIGHEST_PORT = 32_000
# Below Linux's range for outgoing connections (from 32768): while a server is down, no client's connection may take
# its port, nor may a client that knocks at a port of that range in vain end up connected to itself.


def free_port() -> int:
    """Return a TCP port on which nothing listens, outside of the range of outgoing connections.

    Raises:
        OSError: A hundred ports in a row were taken.

    """
    for _ in range(100):
        port = random.randint(_LOWEST_PORT, _HIGHEST_PORT)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port on {HOST} between {_LOWEST_PORT} and {_HIGHEST_PORT}")


def answers(port: int) -> bool:
    """Return whether something accepts connections on ``port``."""
    try:
        with socket.create_connection((HOST, port), timeout=1):
            return True
    except OSError:
        return False
