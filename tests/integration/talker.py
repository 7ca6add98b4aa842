"""A program that says of itself, by sd_notify(3), what its words tell it to.

python talker.py WORD ...

    say:TEXT      send TEXT, `;` for a new line
    child:TEXT    send it from a child of ours, which waits until it was acted upon
    wait:FILE     until FILE exists
    once:FILE     end with status 3 unless FILE is new: only the first invocation goes on
    ping:SECONDS  send WATCHDOG=1 so often from now on
    fork          go on in a child whose parent exits, and tell MAINPID
    forked        go on in a child whose parent waits for it, and tell MAINPID
    neglected     go on in a child whose parent never waits for it, and tell MAINPID
    daemonize     the same as fork, in a session of its own
    ignore:NAME   ignore a signal
    exit:CODE     end; without it, sleep on
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time


def send(text: str, *, barrier: bool = False) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(os.environ["NOTIFY_SOCKET"])
        sock.send(text.replace(";", "\n").encode())
        if barrier:
            ours, theirs = os.pipe()
            socket.send_fds(sock, [b"BARRIER=1"], [theirs])
            os.close(theirs)
            os.read(ours, 1)
            os.close(ours)


def in_child(text: str) -> None:
    if os.fork():
        os.wait()
        return
    send(text, barrier=True)
    os._exit(0)


def become_a_child(
    *, parent_waits: bool, parent_stays: bool = False, session: bool = False
) -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        os.read(ours, 1)  # it has told
        if parent_waits:
            os.waitpid(child, 0)
        while parent_stays:
            signal.pause()
        os._exit(0)
    os.close(ours)
    if session:
        os.setsid()
    send(f"MAINPID={os.getpid()}", barrier=True)
    os.close(theirs)


def ping(seconds: float) -> None:
    def again() -> None:
        while True:
            send("WATCHDOG=1")
            time.sleep(seconds)

    threading.Thread(target=again, daemon=True).start()


def end_unless_new(path: str) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        os._exit(3)


def wait_for(path: str) -> None:
    while not os.path.exists(path):
        time.sleep(0.01)


def main(words: list[str]) -> None:
    for word in words:
        verb, _, text = word.partition(":")
        match verb:
            case "say":
                send(text)
            case "child":
                in_child(text)
            case "wait":
                wait_for(text)
            case "once":
                end_unless_new(text)
            case "ping":
                ping(float(text))
            case "fork":
                become_a_child(parent_waits=False)
            case "forked":
                become_a_child(parent_waits=True)
            case "neglected":
                become_a_child(parent_waits=False, parent_stays=True)
            case "daemonize":
                become_a_child(parent_waits=False, session=True)
            case "ignore":
                signal.signal(getattr(signal, text), signal.SIG_IGN)
            case "exit":
                os._exit(int(text))
    while True:
        signal.pause()


main(sys.argv[1:])
