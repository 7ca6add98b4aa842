from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdsuper.config.model import RpcInterfaceConfig, ServerConfig
from tests.unit.config.conftest import Load, Refuse


def test_inet_servers_come_before_unix_ones(read: Load, tmp_path: Path) -> None:
    config = read(
        "[unix_http_server]\nfile=%(here)s/../s\nchmod=0770\nchown=0:0\nusername=u\n"
        "password=%(ENV_KEY)s%%\n"
        "[inet_http_server:two]\nport=*:2\n[inet_http_server]\nport=Host:1\n"
    )
    assert config.servers == (
        ServerConfig(section="inet_http_server:two", family="inet", host="", port=2),
        ServerConfig(section="inet_http_server", family="inet", host="host", port=1),
        ServerConfig(
            section="unix_http_server",
            family="unix",
            file=str(tmp_path.parent / "s"),
            chmod=0o770,
            chown=(0, 0),
            username="u",
            password="value%",
        ),
    )


@pytest.mark.parametrize(
    ("port", "host", "number"),
    [
        ("9001", "", 9001),
        (":9001", "", 9001),
        ("*:9001", "", 9001),
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:80", "::1", 80),
        ("[::]:80", "::", 80),
    ],
)
def test_ports(port: str, host: str, number: int, read: Load) -> None:
    [server] = read(f"[inet_http_server]\nport={port}\n").servers
    assert (server.host, server.port) == (host, number)


INCOMPLETE = (
    "contains incomplete authentication: If a username or a password is specified, both the "
    "username and password must be specified"
)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("[inet_http_server]\n", "section [inet_http_server] has no port value"),
        ("[inet_http_server]\nport=\n", "not a valid port number: '' "),
        ("[inet_http_server]\nport=x\n", "not a valid port number: 'x' "),
        ("[inet_http_server]\nport=h:\n", "no port number specified in ''"),
        ("[inet_http_server]\nport=h:x\n", "invalid literal for int() with base 10: 'x'"),
        ("[inet_http_server]\nport=h:0\n", "0 is below lower bound (1)"),
        ("[inet_http_server]\nport=h:65536\n", "65536 is above upper bound (65535)"),
        ("[inet_http_server]\nusername=u\n", f"Section [inet_http_server] {INCOMPLETE}"),
        ("[unix_http_server:a]\n", "section [unix_http_server:a] has no file value"),
        ("[unix_http_server]\nfile=\n", "section [unix_http_server] has no file value"),
        ("[unix_http_server]\nfile=/x\nchmod=z\n", "Invalid chmod value z"),
        ("[unix_http_server]\nfile=/x\nchown=root:z-z\n", "Invalid sockchown value root:z-z"),
        ("[unix_http_server]\nfile=/x\npassword=p\n", f"Section [unix_http_server] {INCOMPLETE}"),
    ],
)
def test_refused_servers(text: str, first: str, refuse: Refuse) -> None:
    assert refuse(text).first == first


def test_an_empty_user_name_is_a_user_name(read: Load) -> None:
    [server] = read("[inet_http_server]\nport=1\nusername=\npassword=x\n").servers
    assert (server.username, server.password) == ("", "x")


def test_a_socket_in_the_home_directory(read: Load) -> None:
    [server] = read("[unix_http_server]\nfile=~/x\n").servers
    assert server.file == os.path.expanduser("~/x")


def test_rpc_interfaces(read: Load) -> None:
    config = read(
        "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = a.b:c\n"
        "[rpcinterface:other]\nsupervisor.rpcinterface_factory=d:e\nKey=%(ENV_KEY)s\nn=%%1\n"
    )
    assert config.rpcinterfaces == (
        RpcInterfaceConfig(name="supervisor", factory="a.b:c", options={}),
        RpcInterfaceConfig(name="other", factory="d:e", options={"key": "value", "n": "%1"}),
    )


@pytest.mark.parametrize(
    ("lines", "first"),
    [
        ("", "section [rpcinterface:x] does not specify a supervisor.rpcinterface_factory"),
        ("supervisor.rpcinterface_factory=nope", "nope cannot be resolved within [rpcinterface:x]"),
        (
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterfac",
            (
                "supervisor.rpcinterface:make_main_rpcinterfac cannot be resolved within "
                "[rpcinterface:x]"
            ),
        ),
        (
            "supervisor.rpcinterface_factory=a:b\nk=%(zz)s",
            (
                "Format string '%(zz)s' for 'rpcinterface:x.k' contains names ('zz') which "
                "cannot be expanded. Available names: ENV_*, here, host_node_name"
            ),
        ),
    ],
)
def test_refused_rpc_interfaces(lines: str, first: str, refuse: Refuse) -> None:
    assert refuse(f"[rpcinterface:x]\n{lines}\n").first == first
