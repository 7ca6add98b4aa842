"""The syslog sink, before a socket that plays /dev/log."""

from __future__ import annotations

import re
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import ChannelConfig
from sdsuper.logs.origin import Origin
from sdsuper.logs.sinks import NOTHING_SHARED, SINKS
from sdsuper.logs.sinks.syslog import SyslogSink, program_name

HEADER = rb"<14>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d "


class DevLog:
    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.setblocking(False)

    def messages(self) -> list[bytes]:
        result = []
        while True:
            try:
                result.append(self.socket.recv(65536))
            except BlockingIOError:
                return result

    def texts(self) -> list[bytes]:
        return [re.sub(HEADER, b"", message) for message in self.messages()]

    def close(self) -> None:
        self.socket.close()
        Path(self.path).unlink()


@pytest.fixture
def address() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="sd", dir="/tmp") as folder:
        yield f"{folder}/log"


@pytest.fixture
def dev_log(address: str) -> Iterator[DevLog]:
    made = DevLog(address)
    yield made
    made.socket.close()


@pytest.fixture
def sink(address: str) -> Iterator[SyslogSink]:
    made = SyslogSink(process="cat", ident="sdsuperd", address=address)
    made.open()
    yield made
    made.close()


def test_a_line_is_a_message(dev_log: DevLog, sink: SyslogSink) -> None:
    assert sink.write(b"hello\nwor") is None
    assert sink.write(memoryview(b"ld\n")) is None
    first, second = dev_log.messages()
    assert re.fullmatch(HEADER + rb"sdsuperd: cat hello", first)
    assert re.fullmatch(HEADER + rb"sdsuperd: cat world", second)


def test_an_unfinished_line_goes_out_at_the_end(dev_log: DevLog, sink: SyslogSink) -> None:
    sink.write(b"one")
    assert dev_log.texts() == []
    assert sink.flush()
    sink.write(b"two")
    sink.close()
    assert dev_log.texts() == [b"sdsuperd: cat one", b"sdsuperd: cat two"]


def test_long_lines_are_cut(dev_log: DevLog, sink: SyslogSink) -> None:
    sink.write(b"x" * 20_000 + b"\n")
    texts = dev_log.texts()
    assert all(len(text) < 8192 for text in texts)
    assert b"".join(text.removeprefix(b"sdsuperd: cat ") for text in texts) == b"x" * 20_000


def test_without_a_daemon_lines_are_dropped_and_counted(address: str, sink: SyslogSink) -> None:
    trouble = sink.write(b"lost\n")
    assert trouble is not None
    assert trouble.lost == 4
    dev_log = DevLog(address)
    assert sink.write(b"heard\n") is None
    assert dev_log.texts() == [b"sdsuperd: cat heard"]
    dev_log.close()


def test_a_restarted_daemon_is_found_again(address: str, sink: SyslogSink) -> None:
    first = DevLog(address)
    sink.write(b"one\n")
    first.close()
    second = DevLog(address)
    assert sink.write(b"two\n") is None
    assert second.texts() == [b"sdsuperd: cat two"]
    second.close()


def test_a_daemon_that_does_not_read_holds_nobody_up(dev_log: DevLog, sink: SyslogSink) -> None:
    trouble = sink.write(b"0123456789\n" * 10_000)
    assert trouble is not None
    heard = len(dev_log.messages())
    assert heard > 0
    assert trouble.lost == (10_000 - heard) * 10
    assert sink.write(b"again\n") is None


def test_without_a_process_the_line_stands_alone(dev_log: DevLog, address: str) -> None:
    sink = SyslogSink(ident="sdsuperd", address=address)
    sink.write(b"2026-01-01 INFO x\n")
    assert dev_log.texts() == [b"sdsuperd: 2026-01-01 INFO x"]
    sink.close()


def test_the_name_is_that_of_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/bin/supervisord", "-n"])
    assert program_name() == "supervisord"
    monkeypatch.setattr("sys.argv", [""])
    assert program_name() == "sdsuperd"


@pytest.mark.parametrize(
    ("config", "path", "targets"),
    [
        (ChannelConfig(), "/x", ["/x"]),
        (ChannelConfig(syslog=True), "/x", ["/x", "syslog"]),
        (ChannelConfig(syslog=True), None, ["syslog"]),
        (ChannelConfig(), None, []),
    ],
)
def test_the_settings_choose_the_sinks(
    config: ChannelConfig, path: str | None, targets: list[str]
) -> None:
    made = [make(Origin("cat"), config, path, NOTHING_SHARED) for make in SINKS.values()]
    assert [sink.target for sink in made if sink is not None] == targets
