"""A web server on a unix socket in this very process, and clients that say whatever they like."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Self

from sdsuper import eventloop
from sdsuper.config.model import GroupConfig, ServerConfig
from sdsuper.rpc.codec import dumps_call, loads_response
from sdsuper.server.sockets import open_listeners
from sdsuper.server.web import WebServer
from tests.unit.server.fakes import FakeDaemon, as_daemon, registry_of
from tests.unit.server.streams import Stream, connect

PATIENCE = 30.0  # seconds until a test that hangs fails


@dataclass
class Answer:
    """A reply as received."""

    version: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def value(self) -> Any:
        """What a method returned."""
        return loads_response(self.body)


class Client:
    """One connection. It reads replies one by one and says raw bytes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    async def say(self, data: bytes) -> None:
        await self.stream.write(data)

    async def head(self) -> Answer:
        """Read a status line and headers."""
        first = (await self.stream.readline()).decode().split(" ", 2)
        headers = {}
        while line := (await self.stream.readline()).strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Answer(first[0], int(first[1]), headers, b"")

    async def answer(self, *, bodiless: bool = False) -> Answer:
        """Read one reply."""
        answer = await self.head()
        if not bodiless:
            answer.body = await self.stream.readexactly(int(answer.headers["content-length"]))
        return answer

    async def ask(self, data: bytes) -> Answer:
        await self.say(data)
        return await self.answer()

    async def chunk(self) -> bytes:
        """Read one chunk of a stream."""
        size = int((await self.stream.readline()).strip(), 16)
        data = await self.stream.readexactly(size)
        await self.stream.readexactly(2)
        return data

    async def ended(self) -> bytes:
        """Return what is left until the server closes."""
        return await self.stream.read()

    async def close(self) -> None:
        await self.stream.close()


class Site:
    """The server under test.

    Attributes:
        fake: The daemon behind it.
        path: Its unix socket.
    """

    def __init__(
        self,
        *groups: GroupConfig,
        credentials: tuple[str, str] | None = None,
        get_actions: bool = False,
    ) -> None:
        self.directory = tempfile.mkdtemp(prefix="sd", dir="/tmp")
        self.path = f"{self.directory}/s"
        self.fake = FakeDaemon(*groups)
        self.registry = registry_of(self.fake)
        username, password = credentials or (None, None)
        config = ServerConfig(
            section="unix_http_server",
            family="unix",
            file=self.path,
            username=username,
            password=password,
            get_actions=get_actions,
        )
        self.web = WebServer(as_daemon(self.fake), open_listeners([config]), self.registry)
        self._clients: list[Client] = []

    async def __aenter__(self) -> Self:
        self.web.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.close()
        await self.web.close()
        shutil.rmtree(self.directory)

    async def client(self) -> Client:
        client = Client(await connect(self.path))
        self._clients.append(client)
        return client

    async def ask(self, data: bytes) -> Answer:
        """Ask on a connection of its own."""
        return await (await self.client()).ask(data)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Run a test with a bound on its time, and leave no descriptor behind."""

    async def bounded() -> None:
        with eventloop.timeout(PATIENCE):
            await test

    before = len(os.listdir("/proc/self/fd"))
    eventloop.run(bounded())
    assert len(os.listdir("/proc/self/fd")) == before


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode()


def post(body: bytes, *headers: str, target: str = "/RPC2", version: str = "1.1") -> bytes:
    length = f"Content-Length: {len(body)}"
    return get(target, length, *headers, method="POST", version=version) + body


def call(name: str, *params: object) -> bytes:
    return post(dumps_call(name, params))
