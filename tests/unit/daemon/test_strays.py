"""What cannot be ended holds nothing up; the rest is tested on real daemons."""

import asyncio
import signal
import subprocess

import pytest

from sdsuper.daemon.strays import Strays
from sdsuper.values import Level


def test_a_stray_out_of_reach_is_told_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pidfd: int, number: int) -> None:
        raise PermissionError

    told: list[tuple[Level, str]] = []
    with subprocess.Popen(["sleep", "60"], process_group=0) as stray:

        async def sweep() -> None:
            cleared = asyncio.Event()
            strays = Strays(lambda pid: False, lambda level, text: told.append((level, text)))
            strays.end("p", "no-such-mark", stray.pid, {}, 60.0, cleared.set)
            assert not cleared.is_set()
            await asyncio.wait_for(cleared.wait(), 20)
            assert not strays.busy

        try:
            with monkeypatch.context() as patched:
                patched.setattr(signal, "pidfd_send_signal", refuse)
                asyncio.run(sweep())
        finally:
            stray.kill()
    assert told[-1] == (
        Level.WARN,
        f"not permitted to end what 'p' left behind: sleep (pid {stray.pid})",
    )
