"""Listening sockets: rights, what is in the way, what is left behind."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import ServerConfig
from sdsuper.daemon.setup import ALREADY_RUNNING
from sdsuper.errors import UsageError
from sdsuper.server import sockets
from sdsuper.server.sockets import open_listeners, server_url


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's."""
    made = Path(tempfile.mkdtemp(prefix="sd", dir="/tmp"))
    yield made
    shutil.rmtree(made)


def unix(file: Path | str, **options: object) -> ServerConfig:
    return ServerConfig(section="unix_http_server", family="unix", file=str(file), **options)  # type: ignore[arg-type]


def inet(host: str, port: int) -> ServerConfig:
    return ServerConfig(section="inet_http_server", family="inet", host=host, port=port)


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


@pytest.mark.parametrize("mode", [0o700, 0o600, 0o660, 0o777, 0o1777])
def test_a_unix_socket_has_its_mode_and_nothing_else_is_left(place: Path, mode: int) -> None:
    path = place / "s"
    before = os.umask(0o077)
    try:
        (listener,) = open_listeners([unix(path, chmod=mode)])
    finally:
        assert os.umask(before) == 0o077
    assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.listdir(place) == ["s"]
    assert connects(path)
    listener.close()
    assert os.listdir(place) == []


def test_a_unix_socket_gets_its_owner(place: Path) -> None:
    owner = (os.getuid(), os.getgid())
    (listener,) = open_listeners([unix(place / "s", chown=owner)])
    found = (place / "s").stat()
    assert (found.st_uid, found.st_gid) == owner
    listener.close()


def test_an_owner_that_may_not_be_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "chown", refuse)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    with pytest.raises(UsageError) as caught:
        open_listeners([unix(place / "s", chown=(5, -1))])
    assert str(caught.value) == (
        f"Not permitted to chown {place}/s to uid/gid (5, -1); adjust "
        '"sockchown" value in config file or on command line to values that the current user '
        "(root) can successfully chown"
    )
    assert os.listdir(place) == []


def test_a_socket_that_somebody_listens_on_is_left_alone(place: Path) -> None:
    path = place / "s"
    (first,) = open_listeners([unix(path)])
    with pytest.raises(UsageError) as caught:
        open_listeners([unix(path)])
    assert str(caught.value) == ALREADY_RUNNING
    assert connects(path)
    first.close()


def test_a_full_backlog_is_alive(place: Path) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        probe_before = sockets.PROBE_SECONDS
        sockets.PROBE_SECONDS = 0.01
        try:
            with pytest.raises(UsageError, match="already listening"):
                open_listeners([unix(path)])
        finally:
            sockets.PROBE_SECONDS = probe_before
        assert path.is_socket()


def test_a_stale_socket_is_replaced(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    (listener,) = open_listeners([unix(path)])
    assert connects(path)
    assert capsys.readouterr().err == f"Unlinking stale socket {path}\n"
    assert os.listdir(place) == ["s"]
    listener.close()


def test_a_dangling_link_is_replaced_and_a_link_to_a_live_socket_is_not(place: Path) -> None:
    path = place / "s"
    path.symlink_to(place / "elsewhere")
    (listener,) = open_listeners([unix(path)])
    assert connects(path)
    (place / "link").symlink_to(path)
    with pytest.raises(UsageError, match="already listening"):
        open_listeners([unix(place / "link")])
    assert (place / "link").is_symlink()
    listener.close()


def test_a_file_that_is_no_socket_is_never_removed(place: Path) -> None:
    path = place / "s"
    path.write_text("precious")
    with pytest.raises(UsageError) as caught:
        open_listeners([unix(path)])
    expected = "Cannot open an HTTP server: socket.error reported errno.ENOTSOCK (88)"
    assert str(caught.value) == expected
    assert path.read_text() == "precious"


def test_a_leftover_of_a_dead_process_with_our_pid_is_no_obstacle(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{place}/s.{os.getpid()}")
    (listener,) = open_listeners([unix(place / "s")])
    assert os.listdir(place) == ["s"]
    listener.close()


def test_where_there_are_no_hard_links_the_name_is_given_by_rename(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refuse)
    (listener,) = open_listeners([unix(place / "s")])
    assert connects(place / "s")
    assert os.listdir(place) == ["s"]
    listener.close()


def test_two_that_start_at_once_do_not_take_each_others_socket(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one takes the stale name between our two looks at it."""
    path = place / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    looked = sockets._answers
    others: list[socket.socket] = []

    def look(name: str) -> bool:
        alive = looked(name)
        if not others:
            path.unlink()
            other = socket.socket(socket.AF_UNIX)
            other.bind(str(path))
            other.listen()
            others.append(other)
        return alive

    monkeypatch.setattr(sockets, "_answers", look)
    with pytest.raises(UsageError, match="already listening"):
        open_listeners([unix(path)])
    assert connects(path)
    assert os.listdir(place) == ["s"]
    others[0].close()


def test_closing_leaves_a_socket_that_is_not_ours(place: Path) -> None:
    (listener,) = open_listeners([unix(place / "s")])
    (place / "s").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(place / "s"))
        listener.close()
        assert (place / "s").is_socket()
    listener.close()


@pytest.mark.parametrize(
    ("path", "name", "number"),
    [
        ("/no/such/directory/s", "ENOENT", 2),
        ("/tmp/" + "x" * 120, "ENAMETOOLONG", 36),
    ],
)
def test_paths_that_do_not_do(path: str, name: str, number: int) -> None:
    with pytest.raises(UsageError) as caught:
        open_listeners([unix(path)])
    assert str(caught.value) == (
        f"Cannot open an HTTP server: socket.error reported errno.{name} ({number})"
    )


def test_inet_sockets_on_both_families(place: Path) -> None:
    for host in ("127.0.0.1", "::1"):
        (listener,) = open_listeners([inet(host, 0)])
        address = listener.socket.getsockname()
        assert address[0] == host
        with socket.create_connection(address[:2], timeout=10):
            pass
        assert not listener.socket.getblocking()
        assert not os.get_inheritable(listener.socket.fileno())
        listener.close()


def test_a_port_in_use_closes_what_was_opened_before(place: Path) -> None:
    (first,) = open_listeners([inet("127.0.0.1", 0)])
    port = first.socket.getsockname()[1]
    with pytest.raises(UsageError) as caught:
        open_listeners([unix(place / "s"), inet("127.0.0.1", port)])
    assert str(caught.value) == ALREADY_RUNNING
    assert os.listdir(place) == []
    first.close()


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
def test_a_host_that_does_not_resolve(host: str) -> None:
    # Names that are refused before anything is asked of the network.
    with pytest.raises(UsageError) as caught:
        open_listeners([inet(host, 9)])
    assert str(caught.value) == "Cannot open an HTTP server: socket.error reported -2"


@pytest.mark.parametrize(
    ("servers", "url"),
    [
        ([], None),
        ([inet("", 9001)], "http://localhost:9001"),
        ([inet("10.0.0.1", 9001), inet("", 9)], "http://10.0.0.1:9001"),
        ([inet("::1", 9001)], "http://[::1]:9001"),
        ([inet("", 9001), unix("/run/a"), unix("/run/b")], "unix:///run/a"),
    ],
)
def test_the_url_that_children_get(servers: list[ServerConfig], url: str | None) -> None:
    assert server_url(servers) == url
