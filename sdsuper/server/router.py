"""Which path means what, and the call of methods by XML-RPC."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus

from sdsuper.core.history import Via
from sdsuper.daemon.loop import Daemon
from sdsuper.daemon.readback import Channel
from sdsuper.errors import traceback_text
from sdsuper.logs.readback import NO_JOURNAL, ReadbackError
from sdsuper.rpc.codec import MalformedXml, NoMethodName, dumps_fault, dumps_response, loads_call
from sdsuper.rpc.faults import Fault
from sdsuper.server.caller import Caller, calling
from sdsuper.server.http import Abandonable, Reply, Request, Response, Spawn, error_response
from sdsuper.server.logtail import (
    JournalStream,
    Wanted,
    find_channel,
    find_main_log,
    follow_file,
)
from sdsuper.server.page.guard import Origin, origin_of
from sdsuper.server.page.pages import Pages
from sdsuper.server.registry import Registry
from sdsuper.values import Level

SHOWN_BYTES_MAX = 400
"""How much of what a client sent is repeated in the log."""

Handler = Callable[[Request], Reply | Awaitable[Reply]]


class Router:
    """Answers requests, by the first route that matches.

    Args:
        daemon: What the requests are about.
        registry: The methods of /RPC2.
        spawn: Lets work go on by itself.
    """

    def __init__(self, daemon: Daemon, registry: Registry, spawn: Spawn) -> None:
        self._daemon = daemon
        self._registry = registry
        self._pages = Pages(daemon, spawn)
        # Prefixes as in Supervisor: clients that ask for /RPC2/ are served too.
        self._routes: tuple[tuple[Callable[[str], bool], Handler], ...] = (
            (lambda path: path.startswith("/RPC2"), self.rpc),
            (lambda path: path.startswith("/logtail"), self.log_tail),
            (lambda path: path.startswith("/mainlogtail"), self.main_log_tail),
            (lambda path: path == "/ok.html", self.ok),
        )

    def _log(self, level: Level, message: str) -> None:
        self._daemon.log.log(level, message)

    def answer(self, request: Request, *, get_actions: bool = False) -> Reply | Awaitable[Reply]:
        """Answer a request by the first route that matches its path.

        Args:
            request: What is asked for.
            get_actions: Whether links of the page act.
        """
        try:
            for matches, handler in self._routes:
                if matches(request.path):
                    return handler(request)
            reply = self._pages.answer(request, get_actions=get_actions)
        except Exception:  # noqa: BLE001 - one request must not cost us the loop
            return self._failed(request)
        if reply is None:
            return self.unknown(request)
        if not isinstance(reply, Awaitable):
            return reply
        later = self._page_later(request, reply)
        return Abandonable(later) if isinstance(reply, Abandonable) else later

    async def _page_later(self, request: Request, pending: Awaitable[Reply]) -> Reply:
        try:
            return await pending
        except Exception:  # noqa: BLE001 - one request must not cost us the loop
            return self._failed(request)

    def _failed(self, request: Request) -> Response:
        self._log(Level.ERROR, f"Server Error: {request.line}\n{traceback_text()}")
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR)

    def unknown(self, request: Request) -> Response:
        """Refuse what no route knows."""
        known = request.method in {"GET", "HEAD"}
        return error_response(HTTPStatus.NOT_FOUND if known else HTTPStatus.BAD_REQUEST)

    def ok(self, request: Request) -> Response:
        """Answer a health check."""
        if request.method in {"GET", "POST"}:
            return Response(HTTPStatus.OK, b"text/plain", b"OK")
        return self.unknown(request)

    def main_log_tail(self, request: Request) -> Reply:
        """Follow the daemon's own log."""
        if request.method != "GET":
            return error_response(HTTPStatus.BAD_REQUEST)
        wanted = Wanted.of(request)
        return find_main_log(self._daemon, wanted) or error_response(HTTPStatus.NOT_FOUND)

    def log_tail(self, request: Request) -> Reply | Awaitable[Reply]:
        """Follow the log of a process."""
        if request.method != "GET":
            return error_response(HTTPStatus.BAD_REQUEST)
        channel = find_channel(self._daemon, request.path)
        if channel is None:
            return error_response(HTTPStatus.NOT_FOUND)
        if self._daemon.is_in_journal_alone(*channel):
            return Abandonable(self._journal_tail(request, channel))
        wanted = Wanted.of(request)
        return follow_file(self._daemon, channel, wanted) or error_response(HTTPStatus.NOT_FOUND)

    async def _journal_tail(self, request: Request, channel: Channel) -> Reply:
        try:
            return JournalStream(await self._daemon.readback.follow(channel))
        except ReadbackError as error:
            missing = error.kind == NO_JOURNAL
            return error_response(
                HTTPStatus.NOT_FOUND if missing else HTTPStatus.SERVICE_UNAVAILABLE
            )
        except Exception:  # noqa: BLE001 - one request must not cost us the loop
            return self._failed(request)

    # -- XML-RPC -----------------------------------------------------------------------------------

    def rpc(self, request: Request) -> Reply | Awaitable[Reply]:
        """Call a method."""
        if request.method != "POST":
            return error_response(HTTPStatus.BAD_REQUEST)
        if origin_of(request.headers) is Origin.OTHERS:
            # Browsers send text to other sites without asking first, and a call is text.
            return error_response(HTTPStatus.FORBIDDEN)
        if b"content-length" not in request.headers:
            return error_response(HTTPStatus.LENGTH_REQUIRED)
        try:
            name, params = loads_call(request.body)
        except MalformedXml as error:
            return self._invalid(request, error)
        shown = name if name.isprintable() else repr(name)  # a log line is one line
        self._log(Level.TRACE, f"XML-RPC method called: {shown}()")
        caller = Caller(Via.RPC, shown, request.peer, request.user)
        try:
            with calling(caller):
                value = self._registry.call(name, params)
            if isinstance(value, Awaitable):
                later = self._rpc_later(request, shown, value, caller)
                return Abandonable(later) if isinstance(value, Abandonable) else later
            return self._returned(shown, value)
        except Fault as fault:
            return self._faulted(shown, fault)
        except Exception:  # noqa: BLE001 - a defect in one method is told, not spread
            return self._raised(request)

    async def _rpc_later(
        self, request: Request, name: str, pending: Awaitable[object], caller: Caller
    ) -> Reply:
        try:
            with calling(caller):
                value = await pending
            return self._returned(name, value)
        except Fault as fault:
            return self._faulted(name, fault)
        except Exception:  # noqa: BLE001 - a defect in one method is told, not spread
            return self._raised(request)

    def _returned(self, name: str, value: object) -> Response:
        body = dumps_response(value)
        self._log(Level.TRACE, f"XML-RPC method {name}() returned successfully")
        return Response(HTTPStatus.OK, b"text/xml", body)

    def _faulted(self, name: str, fault: Fault) -> Response:
        self._log(
            Level.TRACE, f"XML-RPC method {name}() returned fault: [{fault.code}] {fault.text}"
        )
        return Response(HTTPStatus.OK, b"text/xml", dumps_fault(fault))

    def _invalid(self, request: Request, error: MalformedXml) -> Response:
        why = "no method name" if isinstance(error, NoMethodName) else "unmarshallable"
        self._log(Level.ERROR, f"XML-RPC request data {_shown(request.body)} is invalid: {why}")
        return error_response(HTTPStatus.BAD_REQUEST)

    def _raised(self, request: Request) -> Response:
        self._log(
            Level.CRITICAL,
            f"Handling XML-RPC request with data {_shown(request.body)} raised an unexpected "
            f"exception: {traceback_text()}",
        )
        return error_response(HTTPStatus.INTERNAL_SERVER_ERROR)


def _shown(data: bytes) -> str:
    return repr(data if len(data) <= SHOWN_BYTES_MAX else data[:SHOWN_BYTES_MAX] + b"...")
