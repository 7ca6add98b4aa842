"""The paths of the page, their methods, and what is refused.

/, /index.html    the programs; with `action` it is done (POST and token) or asked about (GET)
/tail.html        the end of a log
/events           what changes (live.py)
/assets/...       style sheet, script, icon
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable
from http import HTTPStatus

from sdsuper.core.history import Via
from sdsuper.daemon.loop import Daemon
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import Caller, calling
from sdsuper.server.http import Abandonable, Reply, Request, Response, Spawn
from sdsuper.server.page import render
from sdsuper.server.page.actions import Actions, Outcome, UnknownAction, page_registry, unexpected
from sdsuper.server.page.assets import ASSETS, Asset
from sdsuper.server.page.guard import Guard, Origin, origin_of
from sdsuper.server.page.html import url_part
from sdsuper.server.page.live import RETRY_MILLISECONDS, WATCHERS_MAX, Board, Watcher
from sdsuper.server.page.render import LIMIT_MAX, LogPage
from sdsuper.server.page.view import Filter, Overview, count, narrowed, sections

FIELDS_MAX = 50
"""A form of ours has five."""

FORM_BYTES_MAX = 64 * 1024
"""As much as an address may have. A form of ours has some hundred bytes; to decode the longest body
that a call may have takes seconds, in which nothing else is done."""

MESSAGE_MAX = 1000
"""How much of a message is put into an address, characters."""

LIMIT = 32 * 1024
"""How much of a log is shown where the visitor does not say, bytes."""

LIMIT_MIN = 1024

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

SECURITY = (
    (b"Content-Security-Policy", _POLICY.encode()),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    # Not `no-referrer`: with that, browsers hide the origin of forms from us.
    (b"Referrer-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
)

FRESH = (
    (b"Cache-Control", b"no-cache, private"),
    (b"Pragma", b"no-cache"),
    (b"Expires", b"Thu, 01 Jan 1970 00:00:00 GMT"),
)
"""Supervisor's headers: a page is as old as its request."""

_HTML = b"text/html;charset=utf-8"
_COLOURS = re.compile("[\x1b\ufffd]\\[[0-9;]*[mK]")
"""Terminal colours, as they come out of the RPC: XML cannot hold the escape character."""

_CHANNELS = {"stdout": "readProcessStdoutLog", "stderr": "readProcessStderrLog"}

Form = dict[str, str]


class Pages:
    """Answers requests for the page.

    Args:
        daemon: What it shows.
        spawn: Lets work go on by itself.
    """

    def __init__(self, daemon: Daemon, spawn: Spawn) -> None:
        self._daemon = daemon
        self._board = Board(daemon, spawn)
        self._guard = Guard()
        self._actions = Actions(page_registry(daemon))

    def answer(self, request: Request, *, get_actions: bool) -> Reply | Awaitable[Reply] | None:
        """Answer a request, None where the path or the method is none of ours.

        Args:
            request: What is asked for.
            get_actions: Whether links act without a question, and forms without a token.
        """
        path = request.path.lstrip("/") or "index.html"
        if request.method not in {"GET", "HEAD", "POST"}:
            return None
        if path == "index.html":
            return self._index(request, get_actions)
        if path == "tail.html":
            # A search in the journal is given up where the visitor has gone.
            return Abandonable(self._tail(request))
        if request.method == "POST":
            return None
        if path == "events":
            return self._events(request)
        asset = ASSETS.get(path)
        return _asset(request, asset) if asset is not None else None

    # -- the programs and what is done to them --

    async def _index(self, request: Request, get_actions: bool) -> Reply:
        form = _form(request)
        if form is None:
            return _refused(HTTPStatus.BAD_REQUEST, "Too much", "This is no form of ours.")
        action = form.get("action", "")
        if action == "refresh":
            return _outcome(request, Outcome(f"Page refreshed at {time.ctime()}"))
        if action:
            return await self._act(request, form, action, get_actions)
        await self._board.measure()
        wanted = Filter(form.get("q", ""), form.get("state", "").lower())
        return _page(render.overview(self._overview(wanted, form.get("message", ""))))

    def _overview(self, wanted: Filter, message: str) -> Overview:
        rows = self._board.rows()
        return Overview(
            identifier=self._daemon.settings.identifier,
            host=os.uname().nodename,
            generation=self._guard.generation,
            state=self._daemon.manager.state,
            now=self._daemon.now().mono,
            shown=narrowed(sections(rows), wanted),
            counts=count(rows),
            message=message[:MESSAGE_MAX],
            token=self._guard.token,
            filter=wanted,
        )

    async def _act(self, request: Request, form: Form, action: str, get_actions: bool) -> Reply:
        name = form.get("processname", "")
        try:
            label = self._actions.label(action, name)
            origin = origin_of(request.headers)
            free = get_actions and origin is not Origin.OTHERS and request.method != "HEAD"
            if request.method == "POST" and origin is Origin.OTHERS:
                text = "The request was sent by a page of another site. Nothing was done."
                return _refused(HTTPStatus.FORBIDDEN, "Refused", text)
            if free or (request.method == "POST" and self._guard.knows(form.get("token"))):
                with calling(Caller(Via.PAGE, action, request.peer, request.user)):
                    return _outcome(request, await self._actions.act(action, name))
        except UnknownAction:
            text = "There is no such action, or it needs the name of a process."
            return _refused(HTTPStatus.BAD_REQUEST, "Unknown action", text)
        if request.method != "POST":
            return self._ask(HTTPStatus.OK, action, name, label)
        old = "Nothing was done yet: the page was older than the daemon, or the request not its."
        if _wants_json(request):
            return _json(HTTPStatus.FORBIDDEN, Outcome(old, good=False))
        return self._ask(HTTPStatus.FORBIDDEN, action, name, label, old)

    def _ask(self, status: int, action: str, name: str, label: str, why: str = "") -> Response:
        body = render.confirmation(
            action=action, name=name, label=label, token=self._guard.token, why=why
        )
        return _page(body, status)

    # -- logs --

    async def _tail(self, request: Request) -> Reply:
        form = _form(request)
        if form is None:
            return _refused(HTTPStatus.BAD_REQUEST, "Too much", "This is no form of ours.")
        is_main = form.get("log") == "main"
        name = "" if is_main else form.get("processname") or None
        channel = form.get("channel", "stdout")
        if channel not in _CHANNELS:
            channel = "stdout"
        limit = _limit(form.get("limit", ""))
        text, is_there = await self._read(name, channel, limit)
        search = form.get("q", "")
        if search and is_there:
            text = matching_lines(text, search)
        stream = ""
        if is_there:
            stream = f"logtail/{url_part(name)}/{channel}" if name else "mainlogtail"
            stream += f"?tail={limit}"  # so that it begins before what is shown ends
        page = LogPage(name, channel, text, limit, stream, search, self._guard.token)
        return _page(render.log(page))

    async def _read(self, name: str | None, channel: str, limit: int) -> tuple[str, bool]:
        """Return the end of a log, or why there is none (in Supervisor's words)."""
        if name is None:
            return "No process name found", False
        try:
            if name:
                text = await self._actions.call(_CHANNELS[channel], name, -limit, 0)
            else:
                text = await self._actions.call("readLog", -limit, 0)
        except Fault as fault:
            if fault.code == FaultCode.NO_FILE:
                return f"No file for {name or 'the daemon'}", False
            return f"ERROR: {unexpected(fault)}", False
        return readable(str(text)), True

    # -- what changes, and files --

    def _events(self, request: Request) -> Reply:
        if request.method == "HEAD":
            return Response(HTTPStatus.OK, Watcher.content_type, b"", Watcher.headers)
        if self._board.is_full:
            text = f"{WATCHERS_MAX} pages are open already".encode()
            later = (b"Retry-After", b"%d" % (RETRY_MILLISECONDS // 100))
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"text/plain", text, (later,))
        return Watcher(self._board, self._guard.generation)


def _form(request: Request) -> Form | None:
    """Return the fields of a request, None where they are too many or too long.

    As in Supervisor the first of a name in the address counts, the last in the body, and the body
    more than the address.
    """
    if len(request.body) > FORM_BYTES_MAX:
        return None
    form: Form = {}
    body = request.body.decode("latin-1") if request.method == "POST" else ""
    try:
        sent = _fields(request.query)
        for name, value in sent:
            form.setdefault(name, value)
        form.update(_fields(body))
    except ValueError:
        return None
    if "do" in form:  # a button of ours: it can name one value only
        form["action"], _, form["processname"] = form["do"].partition(" ")
    return form


def _fields(text: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(text, errors="replace", max_num_fields=FIELDS_MAX)


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        return LIMIT
    return max(LIMIT_MIN, min(int(text[:9]), LIMIT_MAX))


def readable(text: str) -> str:
    """Return a piece of a log without terminal colours."""
    return _COLOURS.sub("", text)


def matching_lines(text: str, search: str) -> str:
    """Return the lines that hold a text, whatever its case."""
    wanted = search.lower()
    return "".join(line for line in text.splitlines(keepends=True) if wanted in line.lower())


def _page(body: bytes, status: int = HTTPStatus.OK) -> Response:
    return Response(status, _HTML, body, (*FRESH, *SECURITY))


def _refused(status: int, title: str, text: str) -> Response:
    return _page(render.refusal(title, text), status)


def _outcome(request: Request, outcome: Outcome) -> Response:
    if _wants_json(request):
        return _json(HTTPStatus.OK, outcome)
    # Relative, so that it is right behind a proxy that knows us by another name.
    from urllib.parse import quote

    location = f"./?message={quote(outcome.message[:MESSAGE_MAX], errors='replace')}"
    headers = ((b"Location", location.encode()), *FRESH, *SECURITY)
    return Response(HTTPStatus.SEE_OTHER, _HTML, b"", headers)


def _wants_json(request: Request) -> bool:
    return b"application/json" in request.headers.get(b"accept", b"")


def _json(status: int, outcome: Outcome) -> Response:
    from json import dumps

    body = dumps({"message": outcome.message, "good": outcome.good}).encode()
    return Response(status, b"application/json", body, (*FRESH, *SECURITY))


def _asset(request: Request, asset: Asset) -> Response:
    # An address with the version never means anything else.
    lasts = request.query == f"v={asset.version}"
    caching = b"private, max-age=31536000, immutable" if lasts else b"private, no-cache"
    headers = ((b"Cache-Control", caching), *SECURITY)
    return Response(HTTPStatus.OK, asset.content_type, asset.content, headers)
