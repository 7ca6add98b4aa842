"""The paths of the page over a real connection: what acts, what asks, what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from sdsuper.core.states import ProcessState
from sdsuper.daemon.command import CommandNotFoundError
from sdsuper.server.page import pages
from tests.unit.server.calls import group, program, settle, solo
from tests.unit.server.site import Answer, Site, get, post, run

FORM = "Content-Type: application/x-www-form-urlencoded"
JSON = "Accept: application/json"


def token_of(answer: Answer) -> str:
    found = re.search(rb'name="token" value="(\w+)"', answer.body)
    assert found is not None
    return found[1].decode()


def form(*headers: str, target: str = "/index.html", **fields: str) -> bytes:
    return post(urlencode(fields).encode(), FORM, *headers, target=target)


def message_of(answer: Answer) -> str:
    """What became of an action, as its redirect tells."""
    assert answer.status == 303
    assert answer.headers["location"].startswith("./?message=")
    return parse_qs(urlsplit(answer.headers["location"]).query)["message"][0]


def state(site: Site, name: str) -> ProcessState:
    return site.fake.process(name).state


INSTANT = {"startsecs": 0}


def test_a_page_and_its_headers() -> None:
    async def test() -> None:
        async with Site(solo("web"), group("g", program("a", "g"))) as site:
            answer = await site.ask(get("/"))
            assert answer.status == 200
            assert answer.headers["content-type"] == "text/html;charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache, private"
            assert answer.headers["pragma"] == "no-cache"
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert b'data-name="g:a"' in answer.body
            head = await site.client()
            await head.say(get("/", method="HEAD"))
            bodiless = await head.answer(bodiless=True)
            assert int(bodiless.headers["content-length"]) == len(answer.body)
            assert (await site.ask(get("/?q=g%3A"))).body.count(b"<tr data-name") == 1
            assert (await site.ask(get("/?state=fatal"))).body.count(b"<tr data-name") == 0

    run(test())


def test_a_post_with_the_token_acts_and_leads_back() -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT)) as site:
            token = token_of(await site.ask(get("/")))
            answer = await site.ask(form(token=token, action="start", processname="web"))
            assert message_of(answer) == "Process web started"
            assert answer.headers["cache-control"] == "no-cache, private"
            assert state(site, "web") is ProcessState.RUNNING
            # Our own buttons say both in one field, scripts say the name in the address.
            client = await site.client()
            await client.say(form(JSON, token=token, do="stop web"))
            await settle()
            site.fake.exit("web")
            told = await client.answer()
            assert json.loads(told.body) == {"message": "Process web stopped", "good": True}
            again = form(target="/?processname=web&action=start", token=token)
            assert message_of(await site.ask(again)) == "Process web started"

    run(test())


@pytest.mark.parametrize("token", [None, "", "0" * 48, "\u20ac"])
def test_without_the_token_a_post_only_asks(token: str | None) -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT)) as site:
            fields = {"action": "start", "processname": "web"}
            fields |= {} if token is None else {"token": token}
            answer = await site.ask(form(**fields))
            assert answer.status == 403
            assert state(site, "web") is ProcessState.STOPPED
            told = await site.ask(form(JSON, **fields))
            assert (told.status, json.loads(told.body)["good"]) == (403, False)
            # What it asks with is good.
            fields["token"] = token_of(answer)
            assert message_of(await site.ask(form(**fields))) == "Process web started"

    run(test())


@pytest.mark.parametrize(
    "header",
    ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"],
)
@pytest.mark.parametrize("get_actions", [False, True])
def test_another_site_is_refused_even_with_the_token(header: str, get_actions: bool) -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT), get_actions=get_actions) as site:
            token = token_of(await site.ask(get("/")))
            fields = {"token": token, "action": "start", "processname": "web"}
            answer = await site.ask(form(header, **fields))
            assert answer.status == 403
            assert b"<form" not in answer.body
            linked = await site.ask(get("/?processname=web&action=start", header))
            assert linked.status == 200
            assert b"Start web?" in linked.body
            assert state(site, "web") is ProcessState.STOPPED

    run(test())


@pytest.mark.parametrize("header", ["Origin: http://x", "Sec-Fetch-Site: same-origin"])
def test_our_own_site_is_not(header: str) -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT)) as site:
            token = token_of(await site.ask(get("/")))
            answer = await site.ask(form(header, token=token, do="start web"))
            assert message_of(answer) == "Process web started"

    run(test())


def test_a_link_only_asks() -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT)) as site:
            asked = await site.ask(get("/index.html?processname=web&action=start"))
            assert asked.status == 200
            assert b"Start web?" in asked.body
            assert state(site, "web") is ProcessState.STOPPED
            fields = {"token": token_of(asked), "action": "start", "processname": "web"}
            assert message_of(await site.ask(form(**fields))) == "Process web started"
            for action in ("stopall", "startall", "restartall", "clearlogall"):
                assert (await site.ask(get(f"/?action={action}"))).status == 200
            assert site.fake.cleared == []

    run(test())


def test_a_link_acts_where_the_configuration_says_so() -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT), get_actions=True) as site:
            target = "/index.html?processname=web&action=start"
            head = await site.client()
            await head.say(get(target, method="HEAD"))
            assert (await head.answer(bodiless=True)).status == 200
            assert state(site, "web") is ProcessState.STOPPED
            assert message_of(await site.ask(get(target))) == "Process web started"
            posted = form(action="clearlog", processname="web")
            assert message_of(await site.ask(posted)) == "Log for web cleared"

    run(test())


def test_what_comes_of_actions_is_told_in_the_known_words() -> None:
    async def test() -> None:
        groups = [solo("web", **INSTANT), solo("none"), solo("broken")]
        members = [program(name, "g", autostart=False, **INSTANT) for name in ("a", "b")]
        async with Site(*groups, group("g", *members), get_actions=True) as site:
            site.fake.commands["none"] = CommandNotFoundError("can't find command '/bin/none'")
            site.fake.unspawnable.add("broken")

            async def act(action: str, name: str = "") -> str:
                return message_of(await site.ask(form(action=action, processname=name)))

            assert await act("start", "none") == "ERROR: Process none: no such file"
            assert await act("start", "broken") == "ERROR: Process broken: spawn error"
            assert await act("stop", "web") == "unexpected rpc fault [70] NOT_RUNNING: web"
            assert await act("start", "web") == "Process web started"
            assert await act("start", "web") == "ERROR: Process web: already started"
            assert await act("restart", "none") == "ERROR: Process none: no such file"
            assert await act("start", "nope") == "No such process named nope"
            assert await act("start", "g:nope") == "No such process named g:nope"
            assert await act("stop", "nope:*") == "No such process named nope:*"
            assert await act("start", "g:*") == "Group g started"
            assert state(site, "g:b") is ProcessState.RUNNING
            assert (await act("clearlogall")).startswith("All logs cleared at ")
            site.fake.exit("g:a")
            assert await act("startall") == "ERROR: 1 of 2 failed: none: no such file"
            assert (await act("refresh")).startswith("Page refreshed at ")

    run(test())


def test_a_restart_waits_for_both() -> None:
    async def test() -> None:
        async with Site(solo("web", startsecs=5), get_actions=True) as site:
            client = await site.client()
            for action in ("start", "restart"):
                await client.say(form(action=action, processname="web"))
                await settle()
                if action == "restart":
                    assert state(site, "web") is ProcessState.STOPPING
                    site.fake.exit("web")
                    await settle()
                assert state(site, "web") is ProcessState.STARTING
                site.fake.advance(5)
                assert message_of(await client.answer()) == f"Process web {action}ed"

    run(test())


@pytest.mark.parametrize(
    "fields",
    [{"action": "explode"}, {"action": "start"}, {"action": "explode", "processname": "web"}],
)
def test_an_unknown_action_is_a_bad_request(fields: dict[str, str]) -> None:
    async def test() -> None:
        async with Site(solo("web"), get_actions=True) as site:
            assert (await site.ask(form(**fields))).status == 400
            assert (await site.ask(get("/?" + urlencode(fields)))).status == 400

    run(test())


def test_a_group_has_no_log_to_clear() -> None:
    async def test() -> None:
        async with Site(group("g", program("a", "g")), get_actions=True) as site:
            assert (await site.ask(form(action="clearlog", processname="g:*"))).status == 400

    run(test())


def test_a_form_of_too_many_fields_is_a_bad_request() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            body = b"&".join(b"a%d=1" % number for number in range(pages.FIELDS_MAX + 1))
            assert (await site.ask(post(body, target="/"))).status == 400
            assert (await site.ask(get("/tail.html?" + body.decode()))).status == 400

    run(test())


def test_a_form_that_would_take_long_to_read_is_a_bad_request() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            body = b"a=" + b"%41" * pages.FORM_BYTES_MAX
            for target in ("/", "/tail.html"):
                assert (await site.ask(post(body, target=target))).status == 400

    run(test())


def test_a_message_is_shown_as_text_and_not_at_any_length() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            text = "<script>" + "x" * 5000
            answer = await site.ask(get("/?message=" + quote(text)))
            assert b"&lt;script&gt;xxx" in answer.body
            assert answer.body.count(b"xxxxxxxxxx") <= pages.MESSAGE_MAX // 10

    run(test())


def test_a_name_that_no_address_can_hold_comes_back_whole() -> None:
    async def test() -> None:
        async with Site(solo("web"), get_actions=True) as site:
            name = "a\r\nX-Evil: 1\r\n\r\nb&c=d#e\u20ac"
            answer = await site.ask(form(action="start", processname=name))
            assert message_of(answer) == f"No such process named {name}"
            assert "x-evil" not in answer.headers

    run(test())


def test_while_the_daemon_stops_nothing_is_done_and_the_page_says_so() -> None:
    async def test() -> None:
        async with Site(solo("web", **INSTANT), get_actions=True) as site:
            await site.ask(form(action="start", processname="web"))
            site.fake.request_shutdown()
            answer = await site.ask(get("/"))
            assert answer.status == 200
            assert b"will end" in answer.body
            told = await site.ask(form(action="start", processname="web"))
            words = "unexpected rpc fault [6] SHUTDOWN_STATE"
            assert message_of(told) == f"ERROR: Process web: {words}"
            assert message_of(await site.ask(form(action="stopall"))) == words
            assert words.encode() in (await site.ask(get("/tail.html?processname=web"))).body

    run(test())


# -- logs ------------------------------------------------------------------------------------------


def with_log(site: Site, text: bytes, channel: str = "stdout") -> Path:
    path = Path(site.directory) / channel
    path.write_bytes(text)
    site.fake.logfiles["web", channel] = str(path)
    return path


def shown(answer: Answer) -> str:
    """The text of the log on its page."""
    assert answer.status == 200
    found = re.search(rb"<pre[^>]*>(.*)</pre>", answer.body, re.DOTALL)
    assert found is not None
    return found[1].decode()


def test_the_end_of_a_log() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            paths = [
                with_log(site, b"<b>one</b>\n\x1b[31mred\x1b[0m \xff\nthree\n"),
                with_log(site, b"err\n", "stderr"),
            ]
            try:
                page = await site.ask(get("/tail.html?processname=web"))
                assert shown(page) == "&lt;b&gt;one&lt;/b&gt;\nred \ufffd\nthree\n"
                assert b'data-stream="logtail/web/stdout?tail=32768"' in page.body
                errors = await site.ask(get("/tail.html?processname=web&channel=stderr"))
                assert shown(errors) == "err\n"
                found = await site.ask(get("/tail.html?processname=web&q=THREE"))
                assert shown(found) == "three\n"
                odd = await site.ask(get("/tail.html?processname=web&channel=../x"))
                assert shown(odd) == shown(page)
            finally:
                for path in paths:
                    path.unlink()

    run(test())


@pytest.mark.parametrize(
    ("limit", "size"),
    [("", 32768), ("1", 1024), ("2000", 2000), ("x", 32768), ("-5", 32768), ("9" * 40, 1048576)],
)
def test_how_much_of_a_log_is_shown(limit: str, size: int) -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            path = with_log(site, b"x" * (2 * 1024 * 1024))
            page = await site.ask(get(f"/tail.html?processname=web&limit={limit}"))
            assert len(shown(page)) == size
            path.unlink()

    run(test())


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("", "No process name found"),
        ("?processname=", "No process name found"),
        ("?processname=web", "No file for web"),
        ("?processname=nope", "ERROR: unexpected rpc fault [10] BAD_NAME: nope"),
        ("?log=main", "No file for the daemon"),
    ],
)
def test_why_there_is_no_log_is_told_in_the_known_words(query: str, words: str) -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            answer = await site.ask(get("/tail.html" + query))
            assert shown(answer) == words
            assert b'data-stream=""' in answer.body

    run(test())


def test_a_stream_begins_with_as_much_of_the_past_as_is_asked_for() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            path = with_log(site, b"x" * 5000)
            for query, size in (("", 1024), ("?tail=3000", 3000), ("?tail=no", 1024)):
                watcher = await site.client()
                await watcher.say(get("/logtail/web/stdout" + query))
                assert (await watcher.head()).status == 200
                assert len(await watcher.chunk()) == size
            path.unlink()

    run(test())


# -- files -----------------------------------------------------------------------------------------


def test_files_are_kept_by_browsers_as_long_as_their_name_says_so() -> None:
    async def test() -> None:
        async with Site(solo("web")) as site:
            page = (await site.ask(get("/"))).body.decode()
            for target in re.findall(r'(?:href|src)="(assets/[^"]+)"', page):
                answer = await site.ask(get("/" + target))
                assert answer.status == 200
                assert "immutable" in answer.headers["cache-control"]
            plain = await site.ask(get("/assets/page.css"))
            assert plain.headers["cache-control"] == "private, no-cache"
            assert plain.headers["content-type"] == "text/css;charset=utf-8"
            assert (await site.ask(get("/stylesheets/supervisor.css"))).body == plain.body

    run(test())


def test_without_credentials_nothing_of_it_is_seen() -> None:
    async def test() -> None:
        async with Site(solo("web"), credentials=("u", "p")) as site:
            for target in ("/", "/index.html?action=stopall", "/tail.html", "/events", "/assets/x"):
                answer = await site.ask(get(target))
                assert answer.status == 401
                assert b"token" not in answer.body

    run(test())


def test_a_defect_is_told_in_the_log_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_page: object) -> bytes:
        raise RuntimeError("no page today")

    async def test() -> None:
        async with Site(solo("web")) as site:
            monkeypatch.setattr(pages.render, "overview", broken)
            client = await site.client()
            assert (await client.ask(get("/"))).status == 500
            assert (await client.ask(get("/ok.html"))).status == 200
            assert any("no page today" in line for _, line in site.fake.log.lines)

    run(test())
