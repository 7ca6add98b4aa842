"""Superlance's listeners, as they come from the package index, under our daemon."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import AsyncMessage

from tests.integration.conftest import StartDaemon
from tests.integration.harness import BIN, Daemon, free_port


def program(name: str, command: str, **options: object) -> str:
    lines = "".join(f"{key}={value}\n" for key, value in options.items())
    return f"[program:{name}]\ncommand={command}\n{lines}"


def listener(name: str, words: str, events: str) -> str:
    return f"[eventlistener:{name}]\ncommand={BIN}/{name} {words}\nevents={events}\n"


def wait_mail(daemon: Daemon, text: str) -> None:
    """Return when a mail with a text has been sent."""
    mail = daemon.dir / "mail"
    daemon.wait(lambda: mail.exists() and text in mail.read_text(encoding="utf-8"), what=text)


def test_crashmail_mails_of_a_crash(start_daemon: StartDaemon) -> None:
    sendmail = '"tee -a mail"'
    daemon = start_daemon(
        listener("crashmail", f"-a -m me@example.com -s {sendmail}", "PROCESS_STATE_EXITED")
        + program("bad", "sh -c 'exit 3'", startsecs=0, autorestart="false", autostart="false")
    )
    daemon.wait_state("crashmail", "RUNNING")
    daemon.rpc.supervisor.startProcess("bad", False)
    wait_mail(daemon, "Process bad in group bad exited unexpectedly")


def test_memmon_restarts_what_is_too_large(start_daemon: StartDaemon) -> None:
    daemon = start_daemon(listener("memmon", "-p cat=1KB", "TICK_5") + program("cat", "cat"))
    daemon.wait_state("cat", "RUNNING")
    before = daemon.pid_of("cat")
    daemon.wait(lambda: daemon.pid_of("cat") not in (0, before), what="another cat")
    assert "stopped: cat (terminated by SIGTERM)" in daemon.log()


class Unwell(http.server.BaseHTTPRequestHandler):
    """A server that has nothing good to say."""

    def do_GET(self) -> None:
        self.send_error(503)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def unwell() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Unwell) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_httpok_restarts_what_does_not_answer_well(start_daemon: StartDaemon, unwell: int) -> None:
    daemon = start_daemon(
        listener("httpok", f"-p cat -t 5 http://127.0.0.1:{unwell}/", "TICK_5")
        + program("cat", "cat")
    )
    daemon.wait_state("cat", "RUNNING")
    before = daemon.pid_of("cat")
    daemon.wait(lambda: daemon.pid_of("cat") not in (0, before), what="another cat")


class Mailbox(AsyncMessage):
    """Keeps what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[str] = []

    async def handle_message(self, message: object) -> None:
        self.mails.append(str(message))


@pytest.fixture
def mail_server() -> Iterator[tuple[int, Mailbox]]:
    mailbox = Mailbox()
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller.port, mailbox
    controller.stop()
    controller.loop.close()


@pytest.mark.parametrize(
    ("name", "event", "text"),
    [
        ("fatalmailbatch", "PROCESS_STATE_FATAL", "bad:bad failed to start too many times"),
        ("crashmailbatch", "PROCESS_STATE_EXITED", "Process bad:bad (pid "),
    ],
)
def test_batches_are_mailed(
    start_daemon: StartDaemon, mail_server: tuple[int, Mailbox], name: str, event: str, text: str
) -> None:
    port, mailbox = mail_server
    words = f"-t me@example.com -f you@example.com -s trouble -H 127.0.0.1:{port} -e TICK_5 -i 0.01"
    startsecs = 10 if name == "fatalmailbatch" else 0
    daemon = start_daemon(
        listener(name, words, f"{event},TICK_5")
        + program(
            "bad",
            "sh -c 'exit 3'",
            startsecs=startsecs,
            startretries=0,
            autorestart="false",
            autostart="false",
        )
    )
    daemon.wait_state(name, "RUNNING")
    daemon.rpc.supervisor.startProcess("bad", False)
    daemon.wait(lambda: any(text in mail for mail in mailbox.mails), what="the mail")
