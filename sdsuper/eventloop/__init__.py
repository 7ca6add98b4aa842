"""The event loop, and what waits on it: the one name by which the rest of the daemon knows it."""

from __future__ import annotations

from sdsuper.eventloop.lean import asyncio

AbstractEventLoop = asyncio.AbstractEventLoop
BaseTransport = asyncio.BaseTransport
Event = asyncio.Event
Future = asyncio.Future
Handle = asyncio.Handle
Lock = asyncio.Lock
Protocol = asyncio.Protocol
Semaphore = asyncio.Semaphore
Server = asyncio.Server
Task = asyncio.Task
TimerHandle = asyncio.TimerHandle
Transport = asyncio.Transport
current_task = asyncio.current_task
ensure_future = asyncio.ensure_future
gather = asyncio.gather
get_running_loop = asyncio.get_running_loop
run = asyncio.run
shield = asyncio.shield
sleep = asyncio.sleep
timeout = asyncio.timeout
wait_for = asyncio.wait_for
