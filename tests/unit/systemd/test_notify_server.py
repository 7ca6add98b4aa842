import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.core.notice import Notice
from sdsuper.systemd.notify_server import (
    MESSAGE_MAX_BYTES,
    STATUS_MAX_CHARS,
    NotifySocket,
    parse_notice,
)


@pytest.mark.parametrize(
    ("message", "notice"),
    [
        (b"READY=1", Notice(ready=True)),
        (b"READY=1\n", Notice(ready=True)),
        (b"READY=1\0", Notice(ready=True)),
        (b"READY=0", Notice()),
        (b"READY=1\nSTATUS=up\nMAINPID=42", Notice(ready=True, status="up", main_pid=42)),
        (b"RELOADING=1\nMONOTONIC_USEC=5", Notice(reloading=True)),
        (b"STOPPING=1", Notice(stopping=True)),
        (b"WATCHDOG=1", Notice(ping=True)),
        (b"WATCHDOG=trigger", Notice(trigger=True)),
        (b"WATCHDOG=2", Notice()),
        (b"WATCHDOG_USEC=1500000", Notice(watchdog=1.5)),
        (b"WATCHDOG_USEC=0", Notice(watchdog=0.0)),
        (b"EXTEND_TIMEOUT_USEC=2000000", Notice(extend=2.0)),
        (b"EXTEND_TIMEOUT_USEC=-5", Notice()),
        (b"EXTEND_TIMEOUT_USEC=soon", Notice()),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 400, Notice()),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 18, Notice(extend=365 * 86400.0)),
        (b"ERRNO=98", Notice(errno=98)),
        (b"ERRNO=\xd9\xa1", Notice()),  # a digit, but not of this protocol
        (b"MAINPID=0", Notice()),
        (b"MAINPID=-1", Notice()),
        (b"STATUS=", Notice(status="")),
        (b"STATUS=a=b", Notice(status="a=b")),
        (b"STATUS=one\rtwo\x00\x1b[31m", Notice(status="one two  [31m")),
        (b"STATUS=\xff\xc3\xa4", Notice(status="\N{REPLACEMENT CHARACTER}ä")),
        (b"FDSTORE=1\nFDNAME=x\nX_OWN=y", Notice()),
        (b"", Notice()),
        (b"\n\n=\nREADY", Notice()),
    ],
)
def test_messages(message: bytes, notice: Notice) -> None:
    assert parse_notice(message) == notice


def test_a_long_status_is_cut() -> None:
    status = parse_notice(b"STATUS=" + b"x" * 4000).status
    assert status is not None
    assert len(status) == STATUS_MAX_CHARS
    assert status.endswith("x...")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NotifySocket]:
    server = NotifySocket(str(tmp_path / "n.sock"), os.geteuid())
    yield server
    server.close()


@pytest.fixture
def client(server: NotifySocket) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(server.path)
        yield client


def test_the_sender_is_told(server: NotifySocket, client: socket.socket) -> None:
    client.send(b"READY=1")
    message = server.receive()
    assert message is not None
    assert (message.data, message.pid, message.fds) == (b"READY=1", os.getpid(), ())
    assert server.receive() is None


def test_a_barrier_is_lifted_when_the_message_is_closed(
    server: NotifySocket, client: socket.socket
) -> None:
    ours, theirs = os.pipe()
    socket.send_fds(client, [b"BARRIER=1"], [theirs])
    os.close(theirs)
    os.set_blocking(ours, False)
    with pytest.raises(BlockingIOError):
        os.read(ours, 1)
    message = server.receive()
    assert message is not None
    assert len(message.fds) == 1
    assert not os.get_inheritable(message.fds[0])
    message.close()
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_many_descriptors_are_all_taken(server: NotifySocket, client: socket.socket) -> None:
    ours, theirs = os.pipe()
    socket.send_fds(client, [b"FDSTORE=1"], [theirs] * 253)
    os.close(theirs)
    message = server.receive()
    assert message is not None
    assert len(message.fds) == 253
    message.close()
    assert os.read(ours, 1) == b""
    os.close(ours)


@pytest.fixture
def lingering() -> Iterator[socket.socket]:
    """A socket whose last close waits for a minute: its peer takes no data."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _ = listener.accept()
        with ours, peer:
            ours.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    ours.send(b"x" * 65536)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
            yield ours


@pytest.mark.parametrize("read", [True, False])
def test_a_descriptor_that_was_sent_along_cannot_hold_us_up(
    server: NotifySocket, client: socket.socket, lingering: socket.socket, read: bool
) -> None:
    socket.send_fds(client, [b"FDSTORE=1"], [lingering.fileno()])
    lingering.close()
    before = time.monotonic()
    if read:
        message = server.receive()
        assert message is not None
        message.close()
    server.close()
    assert time.monotonic() - before < 30  # seconds; half of what the sender asked for


def test_a_message_that_is_too_long_says_nothing(
    server: NotifySocket, client: socket.socket
) -> None:
    client.send(b"READY=1\n" + b"x" * MESSAGE_MAX_BYTES)
    message = server.receive()
    assert message is not None
    assert message.data == b""


@pytest.mark.parametrize(("uid", "mode"), [(0, 0o666), (1000, 0o600)])
def test_only_the_account_itself_may_send_unless_it_can_become_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uid: int, mode: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    server = NotifySocket(str(tmp_path / "n.sock"), os.geteuid())
    assert os.stat(server.path).st_mode & 0o777 == mode
    server.close()


def test_the_name_goes_with_the_socket(server: NotifySocket) -> None:
    server.close()
    assert not os.path.exists(server.path)


def test_a_place_that_is_taken_is_refused_and_left_alone(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    with pytest.raises(OSError, match="in use"):
        NotifySocket(str(taken), os.geteuid())
    assert taken.exists()
