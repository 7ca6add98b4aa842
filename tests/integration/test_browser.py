"""The web page in a real browser: by mouse, by keyboard, in the dark, and without scripts.

What was seen is kept in build/screenshots.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from selenium.webdriver.common.keys import Keys

from tests.integration.browser import Browser, browser
from tests.integration.conftest import StartDaemon
from tests.integration.harness import Daemon

pytestmark = pytest.mark.chromium

PROGRAMS = """
[program:web]
command=/bin/cat
startsecs=0
stdout_logfile=%(here)s/web.out
stderr_logfile=%(here)s/web.err

[program:flaky]
command=/bin/false
startretries=1
startsecs=1

[program:worker]
command=sleep 100000
startsecs=0
"""

GROUP = """
[program:crowd]
command=sleep 100000
startsecs=0
numprocs=3
process_name=%(program_name)s_%(process_num)d
stdout_logfile=NONE
redirect_stderr=true
"""

MANY = (
    "".join(
        f"[program:team{number:02}]\ncommand=sleep 100000\nstartsecs=0\nnumprocs=24\n"
        "process_name=%(program_name)s_%(process_num)02d\n"
        "stdout_logfile=NONE\nredirect_stderr=true\n"
        for number in range(20)
    )
    + "".join(
        f"[program:single{number:02}]\ncommand=sleep 100000\nstartsecs=0\nstdout_logfile=NONE\n"
        "redirect_stderr=true\n"
        for number in range(19)
    )
    + "[program:broken]\ncommand=/bin/false\nstartretries=0\n"
)


@pytest.fixture(scope="module")
def window() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with browser() as opened:
        yield opened


@pytest.fixture
def page(window: Browser) -> Iterator[Browser]:
    """The browser as new."""
    window.reset()
    yield window
    assert [line for line in window.complaints() if "net::ERR_" not in line] == []


def url(daemon: Daemon, path: str = "/") -> str:
    return f"http://127.0.0.1:{daemon.port}{path}"


def mark(page: Browser) -> None:
    """Leave something on the page that a reload would take away."""
    page.run("window.stayed = true")


def has_stayed(page: Browser) -> bool:
    return bool(page.run("return window.stayed === true"))


def test_three_programs(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    daemon.wait_state("flaky", "FATAL")
    page.open(url(daemon))
    page.wait(lambda: page.text("#live") == "live", "the page is live")
    page.wait(lambda: page.text(f"{page.row('web')} .c-cpu").endswith("%"), "CPU is shown")
    assert page.text(f"{page.row('web')} .pid") == f"pid {daemon.pid_of('web')}"
    assert page.text(f"{page.row('web')} .c-mem").endswith("iB")
    assert "Exited too quickly" in page.text(f"{page.row('flaky')} .end")
    assert page.text(f"{page.row('flaky')} .c-n") == "1"
    assert [chip.text for chip in page.seen(".chip")] == ["1 fatal", "2 running"]
    page.screenshot("three")

    light = page.run("return getComputedStyle(document.body).backgroundColor")
    page.colours("dark")
    dark = page.run("return getComputedStyle(document.body).backgroundColor")
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    page.screenshot("three-dark")
    for width in (1000, 820, 390):
        page.shape(width=width, height=844)
        assert page.run("return document.documentElement.scrollWidth") <= width
    page.screenshot("three-narrow-dark")
    page.colours("light")
    page.screenshot("three-narrow")


def test_what_happens_is_seen_without_a_reload(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    page.open(url(daemon))
    page.wait_state("web", "running")
    mark(page)
    daemon.rpc.supervisor.stopProcess("worker")
    page.wait_state("worker", "stopped")
    os.kill(daemon.pid_of("web"), signal.SIGKILL)
    page.wait(lambda: page.text(f"{page.row('web')} .c-n") == "1", "the restart is counted")
    assert "terminated by SIGKILL, not expected" in page.text(f"{page.row('web')} .end")
    # A group that comes, and one that goes.
    daemon.write(PROGRAMS + GROUP)
    assert daemon.ctl("update")[1] == 0
    page.wait_state("crowd:crowd_2", "running")
    daemon.write(GROUP)
    assert daemon.ctl("update")[1] == 0
    page.wait(lambda: not page.all(page.row("web")), "web is gone")
    assert has_stayed(page)


def test_by_mouse(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS + GROUP, inet=True)
    page.open(url(daemon))
    page.wait(lambda: page.text("#live") == "live", "the page is live")
    mark(page)
    page.click("web", "Stop")
    page.wait(lambda: page.text("#message") == "Process web stopped", "it is told")
    page.wait_state("web", "stopped")
    assert daemon.state("web") == "STOPPED"
    page.click("web", "Start")
    page.wait_state("web", "running")
    assert daemon.state("web") == "RUNNING"
    # What many would suffer from is asked about.
    page.find("[data-key=crowd] .danger").click()
    assert page.text("dialog p") == "Stop group crowd?"
    page.screenshot("question")
    page.press(Keys.ESCAPE)
    page.wait(lambda: not page.all("dialog"), "the question is gone")
    assert daemon.state("crowd:crowd_0") == "RUNNING"
    page.find("[data-key=crowd] .danger").click()
    page.find("dialog .primary").click()
    page.wait_state("crowd:crowd_2", "stopped")
    assert page.text("[data-key=crowd] .sum") == "3 stopped"
    assert daemon.state("crowd:crowd_0") == "STOPPED"
    assert has_stayed(page)


def test_by_keyboard_alone(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS + GROUP, inet=True)
    page.open(url(daemon))
    page.wait(lambda: page.text("#live") == "live", "the page is live")
    skip = page.press(Keys.TAB)
    assert skip.text == "Skip to the programs"
    assert skip.is_displayed()
    page.press(Keys.ENTER)
    stop = page.tab_to("Stop web")
    outline = page.run("return getComputedStyle(arguments[0]).outlineStyle", stop)
    assert outline == "solid"
    page.screenshot("focus")
    page.press(Keys.ENTER)
    page.wait_state("web", "stopped")
    # Its button is of no use any more; the focus is on the one that is.
    page.wait(
        lambda: page.driver.switch_to.active_element.accessible_name == "Start web",
        "the focus is on Start",
    )
    page.press(Keys.SPACE)
    page.wait_state("web", "running")
    assert daemon.state("web") == "RUNNING"
    # To the filter and back.
    page.find("body").send_keys("/")
    search = page.driver.switch_to.active_element
    assert search.accessible_name == "Filter by name"
    search.send_keys("crowd_1")
    assert [row.get_attribute("data-name") for row in page.seen("tr[data-name]")] == [
        "crowd:crowd_1"
    ]
    search.send_keys(Keys.ESCAPE)
    page.wait(lambda: len(page.seen("tr[data-name]")) == 6, "all are shown again")


def test_a_log_as_it_grows(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    text = "".join(f"line {number} <b>\n" for number in range(300))
    daemon.rpc.supervisor.sendProcessStdin("web", text)
    log = daemon.dir / "web.out"
    daemon.wait(lambda: log.read_text() == text)
    page.open(url(daemon))
    page.click("web", "Log")
    page.wait(lambda: page.text("#live") == "live", "the log is followed")
    mark(page)
    with log.open("a", encoding="utf-8") as file:
        file.write("\x1b[31mthe \u20ac latest\x1b[0m\n")
    page.wait(lambda: page.text("#text").endswith("the \u20ac latest"), "the latest line is seen")

    def lines() -> list[str]:
        return str(page.run("return document.querySelector('#text').textContent")).split("\n")

    assert lines() == [*text.splitlines(), "the \u20ac latest", ""]
    at_end = "const t = document.querySelector('#text');"
    at_end += "return t.scrollHeight - t.scrollTop - t.clientHeight < 30"
    page.wait(lambda: page.run(at_end), "the end is in sight")
    # Search: all that fit are marked, and on demand the others are hidden.
    page.find("#q").send_keys("LINE 29")
    page.wait(lambda: page.text("#found") == "11 lines found", "what fits is counted")
    assert len(page.all("mark")) == 11
    page.screenshot("log")
    page.find("#only").click()
    assert len(page.seen("#text > span")) == 11
    daemon.rpc.supervisor.sendProcessStdin("web", "line 29 again\nother\n")
    page.wait(lambda: page.text("#found") == "12 lines found", "new lines are searched, too")
    page.colours("dark")
    page.screenshot("log-search-dark")
    page.find("#q").send_keys(Keys.ENTER)
    page.wait(lambda: page.all("mark.here"), "the first is pointed at")
    assert not page.find("#follow").is_selected()
    page.find(".danger").click()
    page.wait(lambda: page.text("#message") == "Log for web cleared", "it is cleared")
    assert log.read_text() == ""
    daemon.rpc.supervisor.sendProcessStdin("web", "line 29 anew\n")
    page.wait(lambda: "line 29 anew" in lines(), "it goes on")
    assert has_stayed(page)


def test_a_log_of_lines_that_are_all_alike(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    log = daemon.dir / "web.out"
    line = "tick " * 6 + "!\n"
    count = 32 * 1024 // len(line)  # as many as the page shows at first
    log.write_text(line * (count + 100))
    page.open(url(daemon, "/tail.html?processname=web"))
    page.wait(lambda: page.text("#live") == "live", "the log is followed")
    with log.open("a") as file:
        file.write("new\n")
    text = "return document.querySelector('#text').textContent"
    page.wait(lambda: str(page.run(text)).endswith("new\n"), "the new line is seen")
    assert str(page.run(text)).count(line) == count


def test_without_scripts(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS + GROUP, inet=True)
    page.scripts(allowed=False)
    page.open(url(daemon))
    assert page.text(f"{page.row('web')} .state") == "running"
    page.screenshot("no-scripts")
    page.click("web", "Stop")
    page.wait(lambda: page.text("#message") == "Process web stopped", "it is told")
    assert page.text(f"{page.row('web')} .state") == "stopped"
    assert daemon.state("web") == "STOPPED"
    page.click("web", "Start")
    page.wait(lambda: page.text("#message") == "Process web started", "it is told")
    # A group by a link, which asks.
    page.find("[data-key=crowd] .danger").click()
    assert page.text("h1") == "Stop group crowd?"
    page.screenshot("no-scripts-question")
    page.find("button.primary").click()
    page.wait(lambda: page.text("#message") == "Group crowd stopped", "it is told")
    assert daemon.state("crowd:crowd_1") == "STOPPED"
    # Filters by links and by a form, and a log.
    page.find("[data-count=stopped]").click()
    page.wait(lambda: len(page.all("tr[data-name]")) == 3, "the stopped ones are left")
    page.open(url(daemon))
    page.find("#q").send_keys("web", Keys.ENTER)
    page.wait(lambda: len(page.all("tr[data-name]")) == 1, "web is left")
    daemon.rpc.supervisor.sendProcessStdin("web", "one\ntwo\n")
    daemon.wait(lambda: (daemon.dir / "web.out").read_text() == "one\ntwo\n")
    page.click("web", "Log")
    page.wait(lambda: page.text("#text") == "one\ntwo", "the log is shown")
    page.find("#q").send_keys("TWO", Keys.ENTER)
    page.wait(lambda: page.text("#text") == "two", "one line is left")


HOSTILE = "<img src=x onerror=window.pwned=1>"
PLAIN = "<plaintext><b>"


def test_hostile_names_and_logs_do_nothing(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(f"[program:{PLAIN}]\ncommand=/bin/cat\nstartsecs=0\n", inet=True)
    page.open(url(daemon, f"/?message={quote(HOSTILE)}"))
    page.wait(lambda: page.text("#live") == "live", "the page is live")
    assert page.text("th b") == PLAIN
    assert page.text("#message") == HOSTILE
    # What is made by the script, too.
    daemon.rpc.supervisor.stopProcess(PLAIN)
    page.wait(lambda: page.text(".state") == "stopped", "it is stopped")
    daemon.rpc.supervisor.startProcess(PLAIN)
    daemon.rpc.supervisor.sendProcessStdin(PLAIN, f"{HOSTILE}<script>window.pwned=1</script>\n")
    page.find("a[aria-label^=Log]").click()
    page.wait(lambda: "</script>" in page.text("#text"), "the log is shown")
    page.find("#q").send_keys("<script>")
    page.wait(lambda: page.all("mark"), "it is found")
    assert page.run("return window.pwned") is None
    assert page.all("img") == []


def test_a_daemon_that_starts_anew(page: Browser, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(PROGRAMS, inet=True)
    page.open(url(daemon))
    page.wait(lambda: page.text("#live") == "live", "the page is live")
    mark(page)
    before = page.find("input[name=token]").get_attribute("value")
    daemon.rpc.supervisor.restart()
    page.wait(lambda: page.all("body.stale"), "it is seen that nothing is of now")
    page.wait(
        lambda: page.find("input[name=token]").get_attribute("value") != before,
        "the page knows the new daemon",
    )
    page.wait_state("web", "running")
    assert not page.all("body.stale")
    page.click("web", "Stop")
    page.wait_state("web", "stopped")
    assert has_stayed(page)


def test_five_hundred_programs(page: Browser, start_daemon: StartDaemon) -> None:
    settings = "minfds=4096\nminprocs=2048"
    daemon = start_daemon(MANY, inet=True, settings=settings, start_timeout=60)
    daemon.wait_state("broken", "FATAL")
    page.open(url(daemon))
    page.wait(lambda: page.text("#live") == "live", "the page is live")

    def shown() -> list[str]:
        rows = "[...document.querySelectorAll('[open] tr[data-name]:not([hidden])')]"
        names: list[str] = page.run(f"return {rows}.map(row => row.dataset.name)")
        return names

    assert page.run("return document.querySelectorAll('tr[data-name]').length") == 500
    assert len(shown()) == 20
    assert [chip.text for chip in page.seen(".chip")] == ["1 fatal", "499 running"]
    # Only what needs attention is unfolded.
    assert page.run("return document.querySelectorAll('details[open]').length") == 1
    assert page.text(".group[open] .sum").split("\n") == ["1 fatal", "19 running"]
    page.screenshot("many")
    page.find("#q").send_keys("team07_1")
    assert shown() == [f"team07:team07_{number}" for number in range(10, 20)]
    page.screenshot("many-filtered")
    page.click("team07:team07_15", "Stop")
    page.wait_state("team07:team07_15", "stopped")
    page.find("#q").send_keys(Keys.ESCAPE)
    assert page.run("return document.querySelectorAll('details[open]').length") == 1
    page.find("[data-count=stopped]").click()
    assert shown() == ["team07:team07_15"]
    page.find("[data-count=stopped]").click()
    page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    page.run("scrollTo(0, 4000)")
    page.screenshot("many-open")
    page.shape(width=390, height=844)
    assert page.run("return document.documentElement.scrollWidth <= 390")
    page.run("scrollTo(0, 0)")
    page.screenshot("many-narrow")
