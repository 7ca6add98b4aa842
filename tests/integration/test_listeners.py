"""Event listeners: what they are sent, in what order, and what a bad one does to the others.

What is asked of both daemons is what a listener made for Supervisor relies on.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

LISTENER = Path(__file__).with_name("listener.py")


def listener(
    *answers: str, name: str = "ear", events: str = "PROCESS_STATE", **options: object
) -> str:
    """Return the section of a listener that notes its events in `NAME.events`."""
    words = " ".join(f'"{each}"' for each in answers)
    lines = "".join(f"{key}={value}\n" for key, value in options.items())
    return (
        f"[eventlistener:{name}]\n"
        f"command={sys.executable} {LISTENER} %(here)s/{name}.events {words}\n"
        f"events={events}\n{lines}"
    )


def cat(name: str = "cat", **options: object) -> str:
    """Return the section of a program that is there to have its state told."""
    lines = "".join(f"{key}={value}\n" for key, value in options.items())
    return f"[program:{name}]\ncommand=cat\nstartsecs=0\n{lines}"


def heard(daemon: Daemon, name: str = "ear") -> list[dict[str, Any]]:
    """Return the events that a listener was sent until now."""
    try:
        text = (daemon.dir / f"{name}.events").read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def wait_events(daemon: Daemon, count: int, name: str = "ear") -> list[dict[str, Any]]:
    """Return what a listener was sent as soon as there are so many events."""
    daemon.wait(lambda: len(heard(daemon, name)) >= count, what=f"{count} events")
    return heard(daemon, name)


def remote(daemon: Daemon, kind: str, data: str) -> None:
    """Send an event from outside."""
    assert daemon.rpc.supervisor.sendRemoteCommEvent(kind, data) is True


def test_what_it_is_sent(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        listener(events="PROCESS_STATE,REMOTE_COMMUNICATION") + cat(autostart="false"), peer=peer
    )
    daemon.wait_state("ear", "RUNNING")
    wait_events(daemon, 2)
    daemon.ctl("start", "cat")
    pid = daemon.pid_of("cat")
    daemon.wait(lambda: daemon.state("cat") == "RUNNING")
    daemon.ctl("stop", "cat")
    remote(daemon, "kind", "ä\nline two")
    events = wait_events(daemon, 7)
    told = [(event["eventname"], event["payload"]) for event in events]
    ear = daemon.pid_of("ear")
    origin = "processname:cat groupname:cat from_state:"
    assert told == [
        (
            "PROCESS_STATE_STARTING",
            "processname:ear groupname:ear from_state:STOPPED tries:0",
        ),
        (
            "PROCESS_STATE_RUNNING",
            f"processname:ear groupname:ear from_state:STARTING pid:{ear}",
        ),
        ("PROCESS_STATE_STARTING", f"{origin}STOPPED tries:0"),
        ("PROCESS_STATE_RUNNING", f"{origin}STARTING pid:{pid}"),
        ("PROCESS_STATE_STOPPING", f"{origin}RUNNING pid:{pid}"),
        ("PROCESS_STATE_STOPPED", f"{origin}STOPPING pid:{pid}"),
        ("REMOTE_COMMUNICATION", "type:kind\nä\nline two"),
    ]
    assert {(event["ver"], event["server"], event["pool"]) for event in events} == {
        ("3.0", "supervisor", "ear")
    }
    assert [int(event["poolserial"]) for event in events] == list(range(7))
    serials = [int(event["serial"]) for event in events]
    assert serials == sorted(set(serials))


def test_groups_and_the_daemon_itself(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        listener(events="PROCESS_GROUP,SUPERVISOR_STATE_CHANGE") + cat(), peer=peer
    )
    daemon.wait_state("ear", "RUNNING")
    wait_events(daemon, 3)
    daemon.ctl("stop", "cat")
    daemon.ctl("remove", "cat")
    events = wait_events(daemon, 4)
    assert [(event["eventname"], event["payload"]) for event in events] == [
        ("PROCESS_GROUP_ADDED", "groupname:ear\n"),
        ("PROCESS_GROUP_ADDED", "groupname:cat\n"),
        ("SUPERVISOR_STATE_CHANGE_RUNNING", ""),
        ("PROCESS_GROUP_REMOVED", "groupname:cat\n"),
    ]


def test_how_programs_end(start_daemon: StartDaemon, peer: str) -> None:
    told = "PROCESS_STATE_EXITED,PROCESS_STATE_BACKOFF,PROCESS_STATE_FATAL"
    reads = "command=sh -c 'read line; exit {0}'\nstartsecs=0\nautorestart=false\n"
    daemon = start_daemon(
        listener(events=told)
        + f"[program:well]\n{reads.format(0)}[program:ill]\n{reads.format(3)}"
        + "[program:killed]\ncommand=cat\nstartsecs=0\nautorestart=false\n"
        + "[program:none]\ncommand=cat\nstdout_logfile=/tmp\nstartretries=0\nautostart=false\n"
        + "[program:soon]\ncommand=false\nstartsecs=60\nstartretries=1\nautostart=false\n",
        peer=peer,
    )
    pids = {}
    for name in ("ear", "well", "ill", "killed"):
        daemon.wait_state(name, "RUNNING")
        pids[name] = daemon.pid_of(name)
    for name in ("well", "ill"):
        daemon.rpc.supervisor.sendProcessStdin(name, "go\n")
        daemon.wait_state(name, "EXITED")
    daemon.rpc.supervisor.signalProcess("killed", "KILL")
    daemon.wait_state("killed", "EXITED")
    for name in ("none", "soon"):
        daemon.ctl("start", name)
        daemon.wait_state(name, "FATAL")
    events = wait_events(daemon, 8)
    shown = [
        (each["eventname"].removeprefix("PROCESS_STATE_"), re.sub("^processname:", "", text))
        for each in events
        for text in [each["payload"].replace(" groupname:", "/").replace(" from_state:", " ")]
    ]
    assert shown == [
        ("EXITED", f"well/well RUNNING expected:1 pid:{pids['well']}"),
        ("EXITED", f"ill/ill RUNNING expected:0 pid:{pids['ill']}"),
        ("EXITED", f"killed/killed RUNNING expected:0 pid:{pids['killed']}"),
        ("BACKOFF", "none/none STARTING tries:1"),
        ("FATAL", "none/none BACKOFF"),
        ("BACKOFF", "soon/soon STARTING tries:1"),
        ("BACKOFF", "soon/soon STARTING tries:2"),
        ("FATAL", "soon/soon BACKOFF"),
    ]


@pytest.mark.parametrize("channel", ["stdout", "stderr"])
def test_output_and_what_is_between_tokens(
    start_daemon: StartDaemon, peer: str, channel: str
) -> None:
    shown = "<!--XSUPERVISOR:BEGIN-->between<!--XSUPERVISOR:END-->"
    to = ">&2" if channel == "stderr" else ""
    daemon = start_daemon(
        listener(events="PROCESS_LOG,PROCESS_COMMUNICATION")
        + f"[program:talk]\ncommand=sh -c \"printf '%%s' '{shown}' {to}\"\nstartsecs=0\n"
        f"autostart=false\nautorestart=false\n{channel}_capture_maxbytes=1KB\n"
        + f"[program:say]\ncommand=sh -c 'printf hello {to}'\nstartsecs=0\nautostart=false\n"
        f"autorestart=false\n{channel}_events_enabled=true\n",
        peer=peer,
    )
    daemon.wait_state("ear", "RUNNING")
    daemon.rpc.supervisor.startProcess("talk", False)
    daemon.rpc.supervisor.startProcess("say", False)
    found = {event["eventname"]: event["payload"] for event in wait_events(daemon, 2)}
    head, _, data = found[f"PROCESS_COMMUNICATION_{channel.upper()}"].partition("\n")
    assert head.startswith("processname:talk groupname:talk pid:")
    assert data == "between"
    head, _, data = found[f"PROCESS_LOG_{channel.upper()}"].partition("\n")
    assert head.startswith("processname:say groupname:say pid:")
    assert head.endswith(f" channel:{channel}")
    assert data == "hello"


def test_the_clock_ticks(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(listener(events="TICK_5"), peer=peer)
    (event, *_) = wait_events(daemon, 1)
    assert event["eventname"] == "TICK_5"
    assert int(event["payload"].removeprefix("when:")) % 5 == 0


def test_what_was_refused_comes_again(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(listener("fail", "fail", "ok", events="REMOTE_COMMUNICATION"), peer=peer)
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    events = wait_events(daemon, 3)
    assert len({(each["serial"], each["poolserial"], each["payload"]) for each in events}) == 1
    remote(daemon, "a", "2")
    assert wait_events(daemon, 4)[3]["payload"] == "type:a\n2"
    assert daemon.log().count("ear: event was rejected") == 2


def test_what_one_refused_does_not_come_again_to_others(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        listener("fail", "ok", events="REMOTE_COMMUNICATION")
        + listener(name="other", events="REMOTE_COMMUNICATION")
        + listener(name="elsewhere", events="TICK_3600")
    )
    for name in ("ear", "other", "elsewhere"):
        daemon.wait_state(name, "RUNNING")
    remote(daemon, "a", "1")
    wait_events(daemon, 2)
    remote(daemon, "a", "2")
    wait_events(daemon, 3)
    payloads = [event["payload"] for event in wait_events(daemon, 2, "other")]
    assert payloads == ["type:a\n1", "type:a\n2"]
    assert heard(daemon, "elsewhere") == []


def test_an_identifier_that_breaks_the_headers_is_told(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(listener(), settings="identifier=my daemon")
    daemon.wait_log("WARN identifier 'my daemon' has blanks in it: the listeners of ear cannot")


def test_a_listener_that_ends_over_an_event_gets_it_again(
    start_daemon: StartDaemon, peer: str
) -> None:
    daemon = start_daemon(listener("exit", events="REMOTE_COMMUNICATION"), peer=peer)
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    events = wait_events(daemon, 2)
    assert events[0] == events[1]


def test_who_breaks_the_protocol_gets_no_more(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(
        listener("raw:RESULT no;OK", name="bad", events="REMOTE_COMMUNICATION")
        + listener(name="good", events="REMOTE_COMMUNICATION"),
        peer=peer,
    )
    daemon.wait_state("bad", "RUNNING")
    daemon.wait_state("good", "RUNNING")
    remote(daemon, "a", "1")
    daemon.wait_log("bad: bad result line: 'RESULT no'")
    daemon.wait_log("bad: has entered the UNKNOWN state and will no longer receive events")
    remote(daemon, "a", "2")
    daemon.wait(
        lambda: {each["payload"] for each in heard(daemon, "good")} == {"type:a\n1", "type:a\n2"},
        what="both events",
    )
    assert daemon.state("bad") == "RUNNING"
    assert len(heard(daemon, "bad")) == 1


def test_a_restarted_listener_is_sent_what_waits(start_daemon: StartDaemon, peer: str) -> None:
    daemon = start_daemon(listener("stop", events="REMOTE_COMMUNICATION"), peer=peer)
    daemon.wait_state("ear", "RUNNING")
    for number in range(3):
        remote(daemon, "a", str(number))
    wait_events(daemon, 1)
    daemon.ctl("stop", "ear")
    daemon.ctl("start", "ear")
    daemon.wait_state("ear", "RUNNING")
    payloads = [event["payload"] for event in wait_events(daemon, 2)]
    assert payloads == ["type:a\n0"] * 2  # the one it had been working on


def test_several_processes_share_the_work(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        listener(
            "stop",
            events="REMOTE_COMMUNICATION",
            numprocs=3,
            process_name="%(program_name)s_%(process_num)s",
        )
    )
    for number in range(3):
        daemon.wait_state(f"ear:ear_{number}", "RUNNING")
    for number in range(3):
        remote(daemon, "a", str(number))
    payloads = sorted(event["payload"] for event in wait_events(daemon, 3))
    assert payloads == [f"type:a\n{number}" for number in range(3)]


def test_nobody_is_told_twice_for_subscribing_twice(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(listener(events="EVENT,REMOTE_COMMUNICATION"))
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    remote(daemon, "a", "2")
    daemon.wait(lambda: any(each["payload"] == "type:a\n2" for each in heard(daemon)))
    assert [each["payload"] for each in heard(daemon)].count("type:a\n1") == 1


def test_what_finds_no_room_is_counted_and_told(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        listener("stop", events="REMOTE_COMMUNICATION", buffer_size=2, autostart="false")
    )
    for number in range(5):
        remote(daemon, "a", str(number))
    daemon.wait_log("pool ear event buffer overflowed, discarding event ")
    assert daemon.log().count("overflowed") == 3
    assert daemon.rpc.sdsuper.getEventPools() == [
        {"name": "ear", "events": 2, "buffer_size": 2, "dropped": 3}
    ]
    daemon.ctl("start", "ear")
    assert daemon.ctl("status", "ear").stdout.endswith(", 3 events dropped\n")


def test_the_default_buffer_holds_a_busy_start(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(listener() + "".join(cat(f"c{number}") for number in range(100)))
    events = wait_events(daemon, 202)
    assert len([each for each in events if each["eventname"] == "PROCESS_STATE_RUNNING"]) == 101
    assert "overflowed" not in daemon.log()


def test_large_events_arrive_whole(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(listener(events="REMOTE_COMMUNICATION"))
    daemon.wait_state("ear", "RUNNING")
    data = "x" * 3_000_000
    remote(daemon, "large", data)
    assert wait_events(daemon, 1)[0]["payload"] == f"type:large\n{data}"


def test_a_listener_that_does_not_read_holds_nobody_up(start_daemon: StartDaemon) -> None:
    deaf = (
        f"[eventlistener:deaf]\ncommand={sys.executable} -c "
        "\"import time; print('READY', flush=True); time.sleep(1000)\"\n"
        "events=REMOTE_COMMUNICATION\n"
    )
    daemon = start_daemon(deaf + listener(events="REMOTE_COMMUNICATION") + cat())
    daemon.wait_state("deaf", "RUNNING")
    daemon.wait_state("ear", "RUNNING")
    for number in range(20):
        remote(daemon, str(number), "x" * 500_000)
    assert len(wait_events(daemon, 20)) == 20
    os.kill(daemon.pid_of("cat"), signal.SIGKILL)
    daemon.wait_log("exited: cat (terminated by SIGKILL; not expected)")
    daemon.wait_state("cat", "RUNNING")


def test_a_chatty_listener_is_lost_and_harms_nobody(start_daemon: StartDaemon) -> None:
    chatty = "[eventlistener:chatty]\ncommand=yes READY\nevents=EVENT\nstdout_logfile=NONE\n"
    daemon = start_daemon(chatty + listener(events="REMOTE_COMMUNICATION"))
    daemon.wait_log("chatty: has entered the UNKNOWN state")
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    assert wait_events(daemon, 1)[0]["payload"] == "type:a\n1"


@pytest.mark.parametrize("unit", ["characters", "bytes"])
def test_the_unit_of_length_can_be_chosen(start_daemon: StartDaemon, unit: str) -> None:
    raw = (
        "[eventlistener:ear]\ncommand=sh -c 'echo READY; head -n 1 > %(here)s/header; cat'\n"
        f"events=REMOTE_COMMUNICATION\npayload_length={unit}\n"
    )
    daemon = start_daemon(raw)
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "ä", "ö")
    header = daemon.dir / "header"
    daemon.wait(lambda: header.exists() and header.read_text().endswith("\n"), what="the header")
    length = len("type:ä\nö") if unit == "characters" else len("type:ä\nö".encode())
    assert header.read_text().rstrip().endswith(f" len:{length}")


def test_a_handler_of_ones_own(start_daemon: StartDaemon) -> None:
    module = "class RejectEvent(Exception): pass\ndef judge(event, result):\n"
    module += (
        "    if result == b'OK': raise RejectEvent\n    if result == b'FAIL': raise ValueError\n"
    )
    daemon = start_daemon(
        listener("ok", "raw:RESULT 4;fine", "fail", events="REMOTE_COMMUNICATION")
        + "result_handler=judge_of_mine:judge\n",
        environment={"PYTHONPATH": "."},
    )
    daemon.terminate()
    (daemon.dir / "judge_of_mine.py").write_text(module)
    daemon.start()
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    wait_events(daemon, 2)  # refused, then taken
    daemon.wait_log("ear: event was rejected")
    remote(daemon, "a", "2")
    daemon.wait_log("ear: event caused an error")
    daemon.wait_log("ear: has entered the UNKNOWN state")


def test_a_handler_that_is_not_there_is_told(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(
        listener(events="REMOTE_COMMUNICATION") + "result_handler=no.such:handler\n"
    )
    daemon.wait_log("cannot use result_handler no.such:handler of ear, OK alone counts as success")
    daemon.wait_state("ear", "RUNNING")
    remote(daemon, "a", "1")
    wait_events(daemon, 1)


def test_listeners_are_told_of_the_end_of_the_others(start_daemon: StartDaemon, peer: str) -> None:
    told = "%(here)s/ear.events"
    slow = (
        "[program:slow]\npriority=1\nstartsecs=0\ncommand=sh -c "
        f'\'trap "while ! grep -q cat {told}; do sleep 0.05; done; exit" TERM; '
        "while :; do sleep 0.05; done'\n"
    )
    stopping = "SUPERVISOR_STATE_CHANGE_STOPPING"
    daemon = start_daemon(
        listener(events=f"{stopping},PROCESS_STATE_STOPPED") + cat() + slow, peer=peer
    )
    daemon.wait_state("ear", "RUNNING")
    daemon.signal(signal.SIGTERM)
    assert daemon.wait_end() == 0  # and not only when slow was killed
    assert "killing 'slow'" not in daemon.log()
    first, *others = heard(daemon)
    assert (first["eventname"], first["payload"]) == (stopping, "")
    assert "processname:cat " in others[0]["payload"]
