"""Connections: bytes in order and complete, bounds that hold, one end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sdsuper import eventloop
from sdsuper.eventloop import Acceptor, Transport, transport
from sdsuper.eventloop.loop import Loop

PATIENCE = 20.0
MUCH = bytes(range(256)) * 20_000


class Recorder:
    """Notes what it is told."""

    def __init__(self, *, stays: bool = True) -> None:
        self.told: list[str] = []
        self.received = b""
        self.on_data: Callable[[bytes], object] = lambda data: None
        self.on_resume: Callable[[], object] = lambda: None
        self._stays = stays

    def connection_made(self, transport: Transport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self._stays

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")
        self.on_resume()

    def connection_lost(self) -> None:
        self.told.append("lost")


async def until(condition: Callable[[], object]) -> None:
    with eventloop.timeout(PATIENCE):
        while not condition():
            await eventloop.sleep(0.001)


async def turns(number: int = 5) -> None:
    for _ in range(number):
        await eventloop.sleep(0)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test, which leaves no descriptor behind."""
    before = os.listdir("/proc/self/fd")
    eventloop.run(test())
    assert os.listdir("/proc/self/fd") == before


def with_pair(
    test: Callable[[Transport, Recorder, socket.socket], Coroutine[Any, Any, None]],
    recorder: Recorder | None = None,
) -> None:
    """Run a test with a connection and its other end; at its end the connection is closed."""

    async def paired() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        told = recorder or Recorder()
        connection = Transport(ours, told)
        with theirs:
            await test(connection, told, theirs)
        connection.abort()
        await turns()
        assert told.told.count("lost") == 1
        assert told.told[-1] == "lost"
        assert ours.fileno() == -1

    run(paired)


def read_all(sock: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := sock.recv(1 << 20):
            data += part
    return data


# -- reading ---------------------------------------------------------------------------------------


def test_what_is_sent_is_received() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        assert told.told == ["made"]
        theirs.send(b"one")
        await until(lambda: told.received == b"one")
        connection.pause_reading()
        connection.pause_reading()
        theirs.send(b"two")
        await turns()
        assert told.received == b"one"
        connection.resume_reading()
        connection.resume_reading()
        await until(lambda: told.received == b"onetwo")

    with_pair(test)


def test_one_that_floods_gets_one_look_in_a_turn() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        sent = theirs.send(MUCH)
        assert sent > transport.READ_BYTES
        await turns(1)
        assert 0 < len(told.received) <= transport.READ_BYTES
        await until(lambda: len(told.received) == sent)
        assert told.received == MUCH[:sent]

    with_pair(test)


def test_the_end_of_what_comes_is_told_once_and_leaves_the_way_back() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        theirs.send(b"last")
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: "eof" in told.told)
        connection.pause_reading()
        connection.resume_reading()
        await turns()
        assert (told.told, told.received) == (["made", "eof"], b"last")
        connection.write(b"answer")
        assert theirs.recv(100) == b"answer"

    with_pair(test)


def test_the_end_of_what_comes_may_be_the_end_of_all() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        theirs.shutdown(socket.SHUT_WR)
        await until(lambda: "lost" in told.told)
        assert theirs.recv(1) == b""

    with_pair(test, Recorder(stays=False))


def test_a_reset_is_the_end() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client = socket.create_connection(listening.getsockname())
            address = client.getsockname()
            ours, _ = listening.accept()
        told = Recorder()
        connection = Transport(ours, told)
        assert connection.address == address
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        await until(lambda: "lost" in told.told)
        assert told.told == ["made", "lost"]

    run(test)


def test_a_protocol_that_raises_loses_its_connection_alone() -> None:
    errors: list[str] = []

    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        eventloop.get_running_loop().on_error = lambda message, error: errors.append(repr(error))
        told.on_data = lambda data: 1 // 0
        theirs.send(b"x")
        await until(lambda: "lost" in told.told)
        assert errors == ["ZeroDivisionError('integer division or modulo by zero')"]

    with_pair(test)


# -- writing ---------------------------------------------------------------------------------------


def test_what_is_written_arrives_whole_and_in_order() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.write(b"head")
        assert connection.waiting == 0
        connection.write(MUCH)
        connection.write(b"tail")
        assert connection.waiting > transport.WAITING_HIGH_BYTES
        assert told.told == ["made", "pause"]
        got = b""

        def arrived() -> bool:
            nonlocal got
            got += read_all(theirs)
            return len(got) == len(MUCH) + 8

        await until(arrived)
        assert got == b"head" + MUCH + b"tail"
        await turns()
        assert (connection.waiting, told.told) == (0, ["made", "pause", "resume"])

    with_pair(test)


def test_little_that_waits_pauses_nobody() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                connection.socket.send(bytes(4096))
        connection.write(bytes(transport.WAITING_HIGH_BYTES))
        assert told.told == ["made"]
        connection.write(b"x")
        assert told.told == ["made", "pause"]
        connection.write(b"y")
        assert told.told == ["made", "pause"]

    with_pair(test)


def test_who_goes_on_to_write_when_it_may_is_written() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        told.on_resume = lambda: connection.write(b"more")
        connection.write(MUCH)
        connection.close()
        told.on_resume = lambda: connection.write(b"too late")
        got = b""

        def ended() -> bool:
            nonlocal got
            got += read_all(theirs)
            return "lost" in told.told

        await until(ended)
        assert got + read_all(theirs) == MUCH

    with_pair(test)


def test_nothing_follows_the_end_of_what_we_say() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.write(MUCH)
        connection.write_eof()
        connection.write(b"never")
        got, ended = b"", False

        def arrived() -> bool:
            nonlocal got, ended
            with contextlib.suppress(BlockingIOError):
                part = theirs.recv(1 << 20)
                got, ended = got + part, not part
            return ended

        await until(arrived)
        assert got == MUCH
        theirs.send(b"still heard")
        await until(lambda: told.received == b"still heard")
        assert "lost" not in told.told

    with_pair(test)


def test_the_end_of_what_we_say_at_once() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.write_eof()
        connection.write_eof()
        assert theirs.recv(1) == b""

    with_pair(test)


def test_writing_to_who_is_gone_is_the_end() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        theirs.close()
        connection.write(b"x")
        assert connection.is_closing
        assert "lost" not in told.told  # whoever writes goes on undisturbed
        connection.write(b"y")
        connection.write_eof()
        connection.close()
        await turns()

    with_pair(test)


def test_one_that_goes_with_much_waiting_is_the_end() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.pause_reading()
        connection.write(MUCH)
        theirs.close()
        await until(lambda: "lost" in told.told)

    with_pair(test)


# -- the end ---------------------------------------------------------------------------------------


def test_to_close_lets_what_waits_be_written() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.write(MUCH)
        connection.close()
        connection.close()
        await turns()
        assert "lost" not in told.told
        got = b""

        def ended() -> bool:
            nonlocal got
            got += read_all(theirs)
            return "lost" in told.told

        await until(ended)
        assert got + read_all(theirs) == MUCH

    with_pair(test)


@pytest.mark.parametrize("end", [Transport.close, Transport.abort, Transport.write_eof])
def test_who_ends_it_when_it_may_write_again_leaves_the_number_to_others(
    end: Callable[[Transport], None],
) -> None:
    """As a server does whose client has sent two requests, and lets the last one close."""

    async def test() -> None:
        ours, theirs = socket.socketpair()
        number, told = ours.fileno(), Recorder()
        connection = Transport(ours, told)
        told.on_resume = lambda: end(connection) if not connection.waiting else None
        with theirs:
            theirs.setblocking(False)
            connection.write(MUCH)
            while "resume" not in told.told:
                read_all(theirs)
                await eventloop.sleep(0)
        await until(lambda: "lost" in told.told)
        ours, theirs = socket.socketpair()
        again = Recorder(stays=False)
        with theirs:
            assert number in (ours.fileno(), theirs.fileno())
            if ours.fileno() != number:
                ours, theirs = theirs, ours
            Transport(ours, again)
            theirs.send(b"heard")
            await until(lambda: again.received == b"heard")
            theirs.close()
            await until(lambda: "lost" in again.told)

    run(test)


def test_to_abort_drops_what_waits_and_closing_reads_no_more() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.write(MUCH)
        connection.close()
        theirs.send(b"unheard")
        await turns()
        connection.abort()
        connection.abort()
        assert len(read_all(theirs)) < len(MUCH)
        await turns()
        assert told.received == b""

    with_pair(test)


def test_one_that_is_refused_as_it_comes() -> None:
    class Refusing(Recorder):
        def connection_made(self, transport: Transport) -> None:
            super().connection_made(transport)
            transport.abort()

    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        theirs.send(b"unheard")
        await turns()
        assert (told.told, told.received) == (["made", "lost"], b"")

    with_pair(test, Refusing())


def test_a_hangup_is_told_while_nothing_is_read() -> None:
    async def test(connection: Transport, told: Recorder, theirs: socket.socket) -> None:
        connection.pause_reading()
        gone: list[str] = []

        def give_up() -> None:
            gone.append("gone")
            connection.abort()

        connection.watch_hangup(give_up)
        theirs.send(b"x")
        theirs.shutdown(socket.SHUT_WR)
        await turns()
        assert gone == []
        connection.watch_hangup(None)
        connection.watch_hangup(give_up)
        theirs.close()
        await until(lambda: gone)
        connection.watch_hangup(give_up)  # it is over
        connection.watch_hangup(None)
        await turns()
        assert gone == ["gone"]

    with_pair(test)


# -- accepting -------------------------------------------------------------------------------------


def test_so_many_are_accepted_in_a_turn() -> None:
    async def test() -> None:
        accepted: list[socket.socket] = []
        listening = socket.create_server(("127.0.0.1", 0), backlog=20)
        clients = [socket.create_connection(listening.getsockname()) for _ in range(10)]
        acceptor = Acceptor(listening, accepted.append, 4)
        for expected in (4, 8, 10, 10):
            await turns(1)
            assert len(accepted) == expected
        assert sorted(each.getpeername() for each in accepted) == sorted(
            each.getsockname() for each in clients
        )
        acceptor.close()
        clients.append(socket.create_connection(listening.getsockname()))
        await turns()
        assert len(accepted) == 10
        Acceptor(listening, accepted.append, 4)
        await turns()
        assert len(accepted) == 11
        for each in (*accepted, *clients, listening):
            each.close()

    run(test)


class Exhausted:
    """A listening socket of a process that has no descriptors left, for a while."""

    def __init__(self, listening: socket.socket, failures: int) -> None:
        self._listening = listening
        self.failures = failures

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listening, name)

    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._listening.accept()


@pytest.mark.parametrize("seconds", [1000.0, 0.01])
def test_without_descriptors_it_is_told_and_tried_again(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "ACCEPT_AGAIN_SECONDS", seconds)
    told: list[tuple[str, BaseException | None]] = []

    async def test() -> None:
        loop: Loop = eventloop.get_running_loop()
        loop.on_error = lambda message, error: told.append((message, error))
        accepted: list[socket.socket] = []
        listening = socket.create_server(("127.0.0.1", 0))
        exhausted = Exhausted(listening, failures=2)
        acceptor = Acceptor(exhausted, accepted.append, 4)  # type: ignore[arg-type]
        client = socket.create_connection(listening.getsockname())
        await until(lambda: told)
        assert told[0] == ("cannot accept a client: Too many open files", None)
        if seconds < 1:
            await until(lambda: accepted)
            assert len(told) == 2
        else:
            await turns(20)
            assert len(told) == 1
            acceptor.close()
            assert not any(timer.active for _, _, timer in loop._timers)
        acceptor.close()
        for each in (*accepted, client, listening):
            each.close()

    run(test)
