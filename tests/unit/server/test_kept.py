"""Sockets that outlive a daemon: whose they are, when they are dropped, what stays of them."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sdsuper.config.model import ServerConfig
from sdsuper.server.kept import KeptSockets, stored_name
from sdsuper.server.sockets import control_server, open_control, open_listeners
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.sockets import Passed
from sdsuper.values import Level

HELLO = b"hello"


class Store:
    """systemd's store: a real socket that takes messages and descriptors."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._socket.setblocking(False)
        self._held: dict[str, int] = {}

    def notifier(self, monkeypatch: pytest.MonkeyPatch) -> Notifier:
        monkeypatch.setenv("NOTIFY_SOCKET", str(self.path))
        return Notifier(os.environ)

    def read(self) -> None:
        while True:
            try:
                message, fds, _, _ = socket.recv_fds(self._socket, 4096, 1)
            except BlockingIOError:
                return
            fields = dict(line.split("=", 1) for line in message.decode().splitlines())
            if "FDSTORE" in fields:
                assert fields["FDPOLL"] == "0"
                self._held[fields["FDNAME"]] = fds[0]
            elif "FDSTOREREMOVE" in fields:
                os.close(self._held.pop(fields["FDNAME"]))

    def names(self) -> set[str]:
        self.read()
        return set(self._held)

    def restart(self) -> list[Passed]:
        """Pass all that is held to the next daemon, whose descriptors are its own."""
        self.read()
        return [Passed(os.dup(fd), name) for name, fd in self._held.items()]

    def close(self) -> None:
        self.read()
        self._socket.close()
        for fd in self._held.values():
            os.close(fd)


class Life:
    """One daemon's sockets after the other."""

    def __init__(self, directory: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.store = store
        self.notifier = store.notifier(monkeypatch)
        self.told: list[tuple[Level, str]] = []
        self.kept: KeptSockets | None = None

    def begin(self, passed: Sequence[Passed] | None = None) -> KeptSockets:
        given = self.store.restart() if passed is None else passed
        self.end()
        self.kept = KeptSockets(given, str(self.directory), self.notifier)
        return self.kept

    def end(self) -> None:
        """End the process."""
        if self.kept is not None:
            self.kept.close()

    def report(self, level: Level, message: str) -> None:
        self.told.append((level, message))


@pytest.fixture
def life(monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    made = Path(tempfile.mkdtemp(prefix="sd", dir="/tmp"))
    (made / "run").mkdir()
    store = Store(made)
    found = Life(made / "run", store, monkeypatch)
    yield found
    found.end()
    found.notifier.close()
    store.close()
    shutil.rmtree(made)


def unix(file: Path, **options: object) -> ServerConfig:
    return ServerConfig(section="unix_http_server", family="unix", file=str(file), **options)  # type: ignore[arg-type]


def inet(host: str, port: int) -> ServerConfig:
    return ServerConfig(section="inet_http_server", family="inet", host=host, port=port)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def client_of(config: ServerConfig) -> socket.socket:
    """Return a client that has connected and said something."""
    if config.file is not None:
        client = socket.socket(socket.AF_UNIX)
        client.connect(config.file)
    else:
        client = socket.create_connection((config.host or "127.0.0.1", config.port or 0), 10)
    client.sendall(HELLO)
    return client


@pytest.mark.parametrize("family", ["unix", "inet"])
def test_a_client_that_comes_between_two_daemons_is_answered_by_the_second(
    life: Life, family: str
) -> None:
    config = (
        unix(life.directory / "sdsuper.sock")
        if family == "unix"
        else inet("127.0.0.1", free_port())
    )
    (listener,) = open_listeners([config], life.begin())
    listener.close()
    life.end()
    with client_of(config):
        second = life.begin()
        second.drop_others([config], life.report)
        (listener,) = open_listeners([config], second)
        listener.socket.setblocking(True)
        accepted, _ = listener.socket.accept()
        with accepted:
            assert accepted.recv(len(HELLO)) == HELLO
    assert not os.get_inheritable(listener.socket.fileno())
    assert len(life.store.names()) == 1
    assert life.told == []
    listener.close()


def test_a_restart_in_the_same_process_keeps_the_sockets_too(life: Life) -> None:
    config = unix(life.directory / "sdsuper.sock")
    kept = life.begin()
    (listener,) = open_listeners([config], kept)
    listener.close()
    with client_of(config):
        kept.drop_others([config], life.report)
        (listener,) = open_listeners([config], kept)
        accepted, _ = listener.socket.accept()
        accepted.close()
    assert len(life.store.names()) == 1
    listener.close()


def test_what_has_a_file_elsewhere_is_not_stored_and_leaves_nothing(life: Life) -> None:
    for path in (life.directory / "other", life.directory.parent / "sdsuper.sock"):
        (listener,) = open_listeners([unix(path)], life.begin())
        assert life.store.names() == set()
        listener.close()
        assert not path.exists()


def test_nothing_is_stored_where_systemd_does_not_listen(life: Life) -> None:
    kept = KeptSockets((), str(life.directory), Notifier({}))
    (listener,) = open_listeners([unix(life.directory / "sdsuper.sock")], kept)
    listener.close()
    assert os.listdir(life.directory) == []


def test_a_socket_whose_file_is_gone_is_dropped_and_made_anew(life: Life) -> None:
    config = unix(life.directory / "sdsuper.sock")
    (listener,) = open_listeners([config], life.begin())
    listener.close()
    (old,) = life.store.names()
    (life.directory / "sdsuper.sock").unlink()
    kept = life.begin()
    kept.drop_others([config], life.report)
    (listener,) = open_listeners([config], kept)
    (new,) = life.store.names()
    assert old != new == stored_name(config)
    client_of(config).close()
    listener.close()


def test_a_socket_whose_file_is_another_s_is_dropped_and_the_file_left_alone(life: Life) -> None:
    config = unix(life.directory / "sdsuper.sock")
    (listener,) = open_listeners([config], life.begin())
    listener.close()
    (life.directory / "sdsuper.sock").unlink()
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(config.file or "")
        kept = life.begin()
        kept.drop_others([config], life.report)
        assert kept.take(config) is None
        assert life.store.names() == set()
        assert (life.directory / "sdsuper.sock").is_socket()


def test_a_socket_that_is_no_longer_configured_goes_with_its_file(life: Life) -> None:
    (listener,) = open_listeners([unix(life.directory / "sdsuper.sock")], life.begin())
    listener.close()
    life.begin().drop_others([], life.report)
    assert life.store.names() == set()
    assert os.listdir(life.directory) == []
    assert life.told == []


def test_another_address_of_the_same_port_is_free_at_once(life: Life) -> None:
    """The store still holds the old socket when the new one is bound."""
    port = free_port()
    (listener,) = open_listeners([inet("", port)], life.begin())
    listener.close()
    passed = life.store.restart()
    kept = life.begin(passed)
    kept.drop_others([inet("127.0.0.1", port)], life.report)
    (listener,) = open_listeners([inet("127.0.0.1", port)], kept)
    assert life.store.names() == {f"http-inet-127.0.0.1-{port}"}
    listener.close()


def test_rights_that_changed_are_changed(life: Life) -> None:
    path = life.directory / "sdsuper.sock"
    (listener,) = open_listeners([unix(path, chmod=0o600)], life.begin())
    listener.close()
    config = unix(path, chmod=0o660)
    kept = life.begin()
    kept.drop_others([config], life.report)
    (listener,) = open_listeners([config], kept)
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    listener.close()


def test_a_socket_made_anew_while_it_serves_is_stored_in_place_of_the_old(life: Life) -> None:
    config = unix(life.directory / "sdsuper.sock")
    (listener,) = open_listeners([config], life.begin())
    (old,) = life.store.names()
    (life.directory / "sdsuper.sock").unlink()
    assert listener.is_missing()
    fresh = listener.reopened()
    listener.close()
    (new,) = life.store.names()
    assert new != old
    client_of(config).close()
    fresh.close()
    assert (life.directory / "sdsuper.sock").exists()


def test_a_socket_unit_s_socket_is_served_and_its_file_kept(life: Life) -> None:
    config = unix(life.directory / "sdsuper.sock", chmod=0o700)
    unit = socket.socket(socket.AF_UNIX)
    unit.bind(config.file or "")
    unit.listen()
    (life.directory / "sdsuper.sock").chmod(0o666)
    kept = life.begin([Passed(os.dup(unit.fileno()), "control")])
    kept.drop_others([config], life.report)
    (listener,) = open_listeners([config], kept)
    listener.close()
    client_of(config).close()
    assert stat.S_IMODE((life.directory / "sdsuper.sock").stat().st_mode) == 0o666
    assert (life.store.names(), life.told) == (set(), [])
    unit.close()


@pytest.mark.parametrize(("host", "bound"), [("127.0.0.1", "127.0.0.1"), ("", "0.0.0.0")])
def test_a_socket_unit_s_port_is_found_by_its_address(life: Life, host: str, bound: str) -> None:
    with socket.create_server((bound, 0)) as unit:
        config = inet(host, unit.getsockname()[1])
        kept = life.begin([Passed(os.dup(unit.fileno()), "http")])
        kept.drop_others([config], life.report)
        found = kept.take(config)
        assert found is not None
        found.socket.close()
        assert kept.take(inet(host, 1)) is None
        assert kept.take(inet("127.0.0.2", config.port or 0)) is None
        assert life.told == []


def test_what_nobody_wants_is_closed_and_told(life: Life) -> None:
    passed = [
        Passed(os.open(os.devnull, os.O_RDONLY), "null"),
        Passed(socket.socket(socket.AF_UNIX).detach(), "deaf"),
        Passed(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach(), "datagrams"),
        Passed(socket.create_server(("127.0.0.1", 0)).detach(), "elsewhere"),
        Passed(99_999, "closed"),
    ]
    kept = life.begin(passed)
    assert not any(os.get_inheritable(each.fd) for each in passed[:4])
    kept.drop_others([unix(life.directory / "sdsuper.sock")], life.report)
    for fd, _ in passed:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
    assert {level for level, _ in life.told} == {Level.WARN}
    assert [
        name for _, name in passed if not any(f"({name})" in text for _, text in life.told)
    ] == []


# --- the control socket that is always there ------------------------------------------------------


def test_there_is_a_control_socket_beside_what_is_configured(life: Life) -> None:
    control = control_server(str(life.directory), [inet("", 1), unix(life.directory / "other")])
    assert control is not None
    assert control.file == str(life.directory / "sdsuper.sock")
    assert control.chmod in (0o600, 0o660)  # by whether this machine has the group


@pytest.mark.parametrize("name", ["sdsuper.sock", "../run/sdsuper.sock", "../link/sdsuper.sock"])
def test_there_is_none_where_one_is_configured_there(life: Life, name: str) -> None:
    (life.directory.parent / "link").symlink_to(life.directory)
    assert control_server(str(life.directory), [unix(life.directory / name)]) is None


def test_there_is_none_without_a_runtime_directory() -> None:
    assert control_server(None, []) is None


def test_a_control_socket_that_cannot_be_made_only_warns(life: Life) -> None:
    missing = unix(life.directory / "none" / "sdsuper.sock")
    assert open_control(missing, life.begin(), life.report) == []
    ((level, text),) = life.told
    assert (level, str(life.directory) in text, "ENOENT" in text) == (Level.WARN, True, True)
