"""The grammar of `sockets=`: NAME=ADDRESS pairs, separated by commas."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from sdsuper.config.kinds import PORT_MAX, PORT_MIN
from sdsuper.config.types import SocketConfig

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,255}")
_INET = re.compile(r"(?P<scheme>tcp|udp)://(?P<host>\[[^\[\]]*\]|[^\[\]:]*):(?P<port>\d+)")
_UNIX = "unix://"
_UNIX_PATH_MAX = 107  # bytes, unix(7)


def parse_sockets(text: str) -> tuple[SocketConfig, ...]:
    """Read the sockets of a program.

    Raises:
        ValueError: A pair is not NAME=ADDRESS, an address cannot be listened on, or is there twice.
    """
    found: dict[str, SocketConfig] = {}
    for pair in filter(None, (item.strip() for item in text.split(","))):
        name, equals, address = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"{pair!r} is not NAME=ADDRESS")
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a socket: letters, digits, '_', '.' or '-'")
        socket = _parse_address(name, _unquoted(address))
        if found.setdefault(socket.address, socket) is not socket:
            raise ValueError(f"{socket.address} is named twice")
    return tuple(found.values())


def format_sockets(sockets: Iterable[SocketConfig]) -> str:
    """Write sockets as `parse_sockets` reads them."""
    return ",".join(f"{each.name}={each.address}" for each in sockets)


def _unquoted(text: str) -> str:
    for quote in "\"'":
        if len(text) > 1 and text[0] == text[-1] == quote:
            return text[1:-1]
    return text


def _parse_address(name: str, text: str) -> SocketConfig:
    if text.startswith(_UNIX):
        path = text.removeprefix(_UNIX)
        if not path.startswith("/"):
            raise ValueError(f"{text!r} is no address: the path of a socket must be absolute")
        if not path.isprintable():
            raise ValueError(f"{text!r} is no address: the path has a control character")
        path = os.path.normpath("/" + path.lstrip("/"))  # two slashes are kept otherwise
        if len(os.fsencode(path)) > _UNIX_PATH_MAX:
            raise ValueError(f"the path of {name} is longer than {_UNIX_PATH_MAX} bytes")
        return SocketConfig(name, "unix", path=path)
    match = _INET.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no address: tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH")
    port = int(match["port"])
    if not PORT_MIN <= port <= PORT_MAX:
        raise ValueError(f"{port} is no port number ({PORT_MIN} to {PORT_MAX})")
    host = _parse_host(match["host"])
    return SocketConfig(name, "tcp" if match["scheme"] == "tcp" else "udp", host, port)


def _parse_host(text: str) -> str:
    """Return the numbers of a host; "" is every IPv4 interface.

    Names are not looked up: the daemon, which opens the socket while programs run, waits for no
    name server.
    """
    if text in ("", "*", "0.0.0.0"):
        return ""
    if text == "localhost":
        return "127.0.0.1"
    import ipaddress

    bare = text.removeprefix("[").removesuffix("]")
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{text!r} is no IP address, and names are not looked up") from None
    if (address.version == 6) != (bare != text):
        raise ValueError(f"{text!r} is no host: IPv6 addresses, and only they, stand in brackets")
    return str(address)
