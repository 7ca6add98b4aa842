"""The daemon for Python's own XML-RPC client, for code that is written for it: plugins.

What we call ourselves goes through `client`, which is read faster and answers with our own faults.
"""

from __future__ import annotations

import base64
import http.client
import socket
import xmlrpc.client
from typing import Any

from sdsuper.rpc.client import Address


class _UnixConnection(http.client.HTTPConnection):
    """An HTTP connection to a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(self._path)
        except OSError:
            sock.close()
            raise
        self.sock = sock


class SupervisorTransport(xmlrpc.client.Transport):
    """Carries the calls of `xmlrpc.client.ServerProxy` to a daemon, over one connection.

    Args:
        username: Sent together with the password, where both are given.
        password: The same.
        serverurl: `unix://path` or `http://host[:port]`.

    Attributes:
        connection: The connection, None while there is none.

    Raises:
        ValueError: The URL is none of these.
    """

    def __init__(
        self,
        username: str | None = None,
        password: str | None = None,
        serverurl: str = "http://localhost:9001",
    ) -> None:
        headers = []
        if username is not None and password is not None:
            token = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        super().__init__(headers=headers)
        self.username = username
        self.password = password
        self.serverurl = serverurl
        self.connection: http.client.HTTPConnection | None = None
        self._address = Address(serverurl)

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        """Return the connection, whatever the host says."""
        if self.connection is None:
            address = self._address
            if address.path is not None:
                self.connection = _UnixConnection(address.path)
            else:
                self.connection = http.client.HTTPConnection(address.host, address.port)
        self._connection = host, self.connection
        return self.connection

    def close(self) -> None:
        """Close the connection; the next call makes another."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def server_proxy(
    url: str, username: str | None = None, password: str | None = None
) -> xmlrpc.client.ServerProxy:
    """Return a proxy of every method of the daemon at a URL."""
    transport = SupervisorTransport(username, password, url)
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
