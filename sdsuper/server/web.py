"""The HTTP servers: which path means what, who may, how many at a time, and their end."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Coroutine, Iterable, Sequence
from typing import Any, NamedTuple

from sdsuper import eventloop
from sdsuper.daemon.loop import Daemon
from sdsuper.dataclass import replace
from sdsuper.errors import UsageError
from sdsuper.server.auth import BasicAuth, Verdict
from sdsuper.server.http import (
    SILENT,
    UNADMITTED,
    Connection,
    Phase,
    Reply,
    Request,
    Response,
    Site,
    access_date,
    error_response,
)
from sdsuper.server.kept import server_address
from sdsuper.server.registry import Registry
from sdsuper.server.router import Router
from sdsuper.server.sockets import BACKLOG, Listener
from sdsuper.values import Level

CONNECTIONS_MAX = 256
"""Connections at a time, of all servers: a quarter of the descriptors that are ours by default.
Above it the one that has been idle longest makes way, else the one that is the slowest to say what
it wants (it has shown no credentials yet); where none is, the new one is refused."""

CLOSE_SECONDS = 3.0
"""How long replies under way may take when the servers close."""

PAUSE_SECONDS = 2.0
"""How long they may take when another daemon takes over; what takes longer is to come again."""

_WORDS_SECONDS = 0.5
"""How long the words that say so may take."""

_LOOK_SECONDS = 0.01

CHECK_SECONDS = 600.0
"""How often to look whether the sockets' files are still there: cleaners of temporary files take
those that are old, and nobody could reach us until somebody noticed."""

REALM = (b"WWW-Authenticate", b'Basic realm="default"')

ACCEPTS_PER_TURN = 16
"""How many connections are accepted in a row."""


class Client(NamedTuple):
    """A connection on which nothing is under way, as it is handed on.

    Attributes:
        server: The address of the server that it came to.
        phase: One of SILENT.
        since: For how long, as a moment of the monotonic clock.
    """

    server: str
    phase: Phase
    since: float


class WebServer:
    """All HTTP servers of the daemon: the same paths on each of them.

    Args:
        daemon: What the requests are about.
        listeners: Sockets that `open_listeners` made; they are ours from here on.
        registry: The methods of /RPC2.
    """

    def __init__(self, daemon: Daemon, listeners: Sequence[Listener], registry: Registry) -> None:
        self.daemon = daemon
        self.router = Router(daemon, registry, self.spawn)
        self._servers = [_Server(self, listener) for listener in listeners]
        self._connections: set[Connection] = set()
        self._tasks: set[eventloop.Task[None]] = set()
        self._expiry: eventloop.TimerHandle | None = None
        self._check: eventloop.TimerHandle | None = None
        self._all_gone: eventloop.Future[None] | None = None

    def start(self) -> None:
        """Begin to accept."""
        for server in self._servers:
            server.start()
        self._check_later()

    async def close(self) -> None:
        """Stop accepting, remove socket files, finish replies under way, close all connections.

        Takes CLOSE_SECONDS at most.
        """
        if self._check is not None:
            self._check.cancel()
        for server in self._servers:
            server.close()
        for connection in tuple(self._connections):
            connection.close_when_done()
        if self._connections:
            await self._wait_for_connections()
        if self._expiry is not None:
            self._expiry.cancel()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            await task.settled()

    # -- over to a successor -----------------------------------------------------------------------

    async def suspend(self) -> None:
        """Stop accepting, and finish replies under way: whoever comes now waits in the backlog.

        Takes PAUSE_SECONDS at most, and a moment for the words that what takes longer gets. Clients
        that keep their connections open keep them: what they send waits there. `resume` goes on.
        """
        if self._check is not None:
            self._check.cancel()
        for server in self._servers:
            server.suspend()
        await self._settle(PAUSE_SECONDS)
        for connection in tuple(self._connections):
            connection.come_again()
        await self._settle(_WORDS_SECONDS)

    async def _settle(self, seconds: float) -> None:
        loop = eventloop.get_running_loop()
        until = loop.time() + seconds
        while True:
            settled = [connection.settle() for connection in tuple(self._connections)]
            if all(settled) or loop.time() >= until:
                return
            await eventloop.sleep(_LOOK_SECONDS)

    def clients(self) -> list[tuple[Client, int]]:
        """Return the clients that a successor can go on with, and their sockets."""
        settled = [connection for connection in self._connections if connection.settle()]
        return [(Client(each.server, each.phase, each.since), each.fileno()) for each in settled]

    def resume(self) -> None:
        """Accept again, and go on with everybody: nobody has taken over."""
        for connection in tuple(self._connections):
            connection.unsettle()
        self.start()

    def welcome(self, clients: Iterable[tuple[Client, int]]) -> None:
        """Go on with clients of an earlier daemon.

        Args:
            clients: They and their sockets, which are ours from here on.
        """
        servers = {server.name: server for server in self._servers}
        for client, fd in clients:
            sock = socket.socket(fileno=fd)
            server = servers.get(client.server)
            if server is None:
                sock.close()
            else:
                server.welcome(sock, client)

    @property
    def listeners(self) -> list[Listener]:
        """The sockets, as they are now."""
        return [server.listener for server in self._servers]

    async def _wait_for_connections(self) -> None:
        self._all_gone = eventloop.Future()
        try:
            with eventloop.timeout(CLOSE_SECONDS):
                await self._all_gone
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()

    def check_sockets(self) -> None:
        """Make unix sockets anew whose files were removed; nobody could reach us by them."""
        for server in self._servers:
            if server.listener.is_missing():
                server.renew()

    def _check_later(self) -> None:
        self._check = eventloop.get_running_loop().call_later(CHECK_SECONDS, self._check_now)

    def _check_now(self) -> None:
        self.check_sockets()
        self._check_later()

    def log(self, level: Level, message: str) -> None:
        """Write to the daemon's log."""
        self.daemon.log.log(level, message)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Let work go on by itself until the servers close."""
        task = eventloop.Task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: eventloop.Task[None]) -> None:
        """Tell what ended some work, as nobody waits for it."""
        self._tasks.discard(task)
        error = task.exception()
        if error is not None and not task.cancelled():
            eventloop.get_running_loop().tell("unexpected error in what a client asked for", error)

    # -- connections -------------------------------------------------------------------------------

    def add(self, connection: Connection) -> None:
        """Count a connection in; one too many costs the one that has been idle longest."""
        if len(self._connections) >= CONNECTIONS_MAX:
            self._make_way(connection).abort()
        self._connections.add(connection)

    def _make_way(self, fresh: Connection) -> Connection:
        for phases in (SILENT, UNADMITTED):
            found = [other for other in self._connections if other.phase in phases]
            if found:
                return min(found, key=lambda other: other.since)
        return fresh

    def remove(self, connection: Connection) -> None:
        """Count a connection out."""
        self._connections.discard(connection)
        if self._connections:
            return
        if self._all_gone is not None and not self._all_gone.done():
            self._all_gone.set_result(None)
        if self._expiry is not None:  # nobody is left to look after: nothing wakes us
            self._expiry.cancel()
            self._expiry = None

    def watch(self, deadline: float) -> None:
        """Look at the connections at this moment, or earlier: one timer serves them all."""
        if self._expiry is None or deadline < self._expiry.when:
            if self._expiry is not None:
                self._expiry.cancel()
            self._expiry = eventloop.get_running_loop().call_at(deadline, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = eventloop.get_running_loop().time()
        for connection in tuple(self._connections):
            if connection.deadline is not None and connection.deadline <= now:
                connection.expire()
        deadlines = [item.deadline for item in self._connections if item.deadline is not None]
        if deadlines:
            self.watch(min(deadlines))


class _Server(Site):
    """One listening socket: its clients share its credentials."""

    def __init__(self, web: WebServer, listener: Listener) -> None:
        self.listener = listener
        self._web = web
        self._accepting: eventloop.Acceptor | None = None
        config = listener.config
        self._auth = BasicAuth(config.username, config.password or "") if config.username else None

    def start(self) -> None:
        """Begin to accept."""
        listening = self.listener.socket
        listening.listen(BACKLOG)
        self._accepting = eventloop.Acceptor(listening, self._connect, ACCEPTS_PER_TURN)

    def _connect(self, sock: socket.socket) -> Connection:
        connection = Connection(self)
        eventloop.Transport(sock, connection)
        return connection

    def close(self) -> None:
        """Stop accepting and remove the socket's file."""
        self.suspend()
        self.listener.close()

    def suspend(self) -> None:
        """Stop accepting; the socket goes on to listen."""
        if self._accepting is not None:
            self._accepting.close()
            self._accepting = None

    @property
    def name(self) -> str:
        """What tells it from other servers."""
        return server_address(self.listener.config)

    def welcome(self, sock: socket.socket, client: Client) -> None:
        """Go on with a client that an earlier daemon has accepted."""
        self._connect(sock).go_on(client.phase, client.since)

    def renew(self) -> None:
        """Make the socket anew. The old one goes on with whom it has."""
        path = self.listener.config.file
        try:
            fresh = self.listener.reopened()
        except (OSError, UsageError) as error:
            self._web.log(Level.WARN, f"cannot make socket {path} anew: {error}")
            return
        self.close()
        self.listener = fresh
        self.start()
        self._web.log(Level.WARN, f"socket {path} had been removed, made it anew")

    # -- what a connection asks --------------------------------------------------------------------

    def admit(self, headers: dict[bytes, bytes]) -> Response | None:
        """Refuse who has not the credentials, whatever the path."""
        if self._auth is None:
            return None
        verdict = self._auth.check(headers.get(b"authorization"))
        if verdict is Verdict.ALLOWED:
            return None
        return error_response(verdict.value, (REALM,), close=True)

    def answer(self, request: Request) -> Reply | Awaitable[Reply]:
        """Answer by the common routes."""
        get_actions = self.listener.config.get_actions
        if self._auth is not None:
            request = replace(request, user=self.listener.config.username or "")
        return self._web.router.answer(request, get_actions=get_actions)

    def opened(self, connection: Connection) -> None:
        """Count it in."""
        self._web.add(connection)

    def closed(self, connection: Connection) -> None:
        """Count it out."""
        self._web.remove(connection)

    def watch(self, deadline: float) -> None:
        """Use the common timer."""
        self._web.watch(deadline)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Keep the work with the rest."""
        self._web.spawn(work)

    def logs_access(self) -> bool:
        """Access lines are for the lowest levels only."""
        return self._web.daemon.log.level <= Level.TRACE

    def log_access(self, peer: str, line: str, status: int, size: int) -> None:
        """Write one line in the common log format."""
        moment = access_date(time.time())
        self._web.log(Level.TRACE, f'{peer} - - [{moment}] "{line}" {status} {size}')
