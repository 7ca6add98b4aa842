"""`sockets=`: what may be written, what it means, and who listens where already."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.listening import format_sockets, parse_sockets
from sdsuper.config.types import SocketConfig
from tests.unit.config.conftest import Load

S = SocketConfig


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("a=tcp://*:80", (S("a", "tcp", "", 80),)),
        ("a=tcp://:80", (S("a", "tcp", "", 80),)),
        ("a=tcp://0.0.0.0:80", (S("a", "tcp", "", 80),)),
        ("a=tcp://localhost:80", (S("a", "tcp", "127.0.0.1", 80),)),
        ("a=udp://[::1]:53", (S("a", "udp", "::1", 53),)),
        ("a=tcp://[0:0::1]:53", (S("a", "tcp", "::1", 53),)),
        ("a=unix:///run/x.sock", (S("a", "unix", path="/run/x.sock"),)),
        ("a=unix:///run//y/../x.sock", (S("a", "unix", path="/run/x.sock"),)),
        (
            ' http = "tcp://1.2.3.4:80" , admin=unix:///run/x.sock,',
            (S("http", "tcp", "1.2.3.4", 80), S("admin", "unix", path="/run/x.sock")),
        ),
        (  # one name for several, as systemd allows it; and one port for two kinds
            "dns=tcp://*:53,dns=udp://*:53",
            (S("dns", "tcp", "", 53), S("dns", "udp", "", 53)),
        ),
    ],
)
def test_what_may_be_written(text: str, expected: tuple[SocketConfig, ...]) -> None:
    assert parse_sockets(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tcp://*:80", "'tcp://*:80' is not NAME=ADDRESS"),
        ("=tcp://*:80", "'' is no name for a socket"),
        ("a:b=tcp://*:80", "'a:b' is no name for a socket"),
        ("a b=tcp://*:80", "'a b' is no name for a socket"),
        (f"{'n' * 256}=tcp://*:80", "is no name for a socket"),
        ("a=", "'' is no address: tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH"),
        ("a=80", "'80' is no address"),
        ("a=http://*:80", "is no address"),
        ("a=tcp://*", "is no address"),
        ("a=tcp://*:http", "is no address"),
        ("a=tcp://*:0", "0 is no port number (1 to 65535)"),
        ("a=tcp://*:65536", "65536 is no port number (1 to 65535)"),
        ("a=tcp://example.com:80", "is no IP address, and names are not looked up"),
        ("a=tcp://1.2.3:80", "is no IP address"),
        ("a=tcp://[1.2.3.4]:80", "IPv6 addresses, and only they, stand in brackets"),
        ("a=tcp://[]:80", "'[]' is no IP address"),
        ("a=unix://run/x", "the path of a socket must be absolute"),
        ("a=unix:///x\0", "the path has a control character"),
        ("a=unix:///" + "x" * 107, "the path of a is longer than 107 bytes"),
        ("a=tcp://*:80,b=tcp://:80", "tcp://*:80 is named twice"),
        ("a=unix:///x,b=unix:////x", "unix:///x is named twice"),
    ],
)
def test_what_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_sockets(text)


@given(st.text(max_size=40))
def test_whatever_is_written_is_read_or_refused(text: str) -> None:
    try:
        found = parse_sockets(text)
    except ValueError:
        return
    assert parse_sockets(format_sockets(found)) == found


def test_two_programs_on_one_address_are_doubted(read: Load) -> None:
    config = read(
        "[program:one]\ncommand=x\nsockets=a=tcp://*:80\n"
        "[program:two]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)d\n"
        "sockets=b=unix:///x,a=tcp://:80\n"
    )
    (doubt,) = config.doubts
    assert "tcp://*:80 is listened on for [program:one] of group one in" in str(doubt)
    assert (doubt.section, doubt.option) == ("program:two", "sockets")
    (note,) = config.notes
    assert note.message == str(doubt)


def test_a_program_in_two_groups_listens_twice(read: Load) -> None:
    config = read(
        "[program:one]\ncommand=x\nsockets=a=tcp://*:80\n"
        "[group:a]\nprograms=one\n[group:b]\nprograms=one\n"
    )
    assert len(config.doubts) == 1
