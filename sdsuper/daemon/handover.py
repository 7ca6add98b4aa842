"""What a successor of this daemon needs, kept current; and what was left to this daemon itself.

Theory of operation
-------------------
Two files in memory outlive a daemon: a log of records (`handover.store`), and a box of descriptors
(`handover.box`). Under systemd both are in its store of descriptors while the daemon lives, so a
daemon that is killed leaves them to the one that systemd starts next: *adoption*. A daemon that
makes way for new code of its own makes them at that moment and hands them on over execve(2):
*re-exec*. The successor reads both in the same way.

Parts of the daemon say what changed (`changed`, `gone`, `hold`, `drop`); a turn of the loop ends
with `flush`, which is one write, or none where nothing changed. What must be on record before
something happens, as the intent to spawn, is flushed before. Where nobody keeps anything
(`recording` is False) all of these do nothing, and a snapshot is made of what `register`ed parts
export.

Nothing is adopted half: a successor restores all parts in memory, makes its own two files, hands
them to systemd, and only then takes the old ones out of systemd's store, reads the first pipe and
reaps the first child. If it dies before that, the next one finds what it found.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

from sdsuper.daemon.limits import DescriptorLimit
from sdsuper.dataclass import dataclass, field
from sdsuper.errors import HandoverError, traceback_text
from sdsuper.handover import box as boxes
from sdsuper.handover import store as stores
from sdsuper.handover.box import Box, BoxFullError
from sdsuper.handover.codec import Notes, Plain
from sdsuper.handover.store import Store
from sdsuper.logs.stage import NAMES as STAGE_NAMES
from sdsuper.logs.stage import STAGE, StageError
from sdsuper.systemd import fdstore
from sdsuper.systemd.notify import Notifier
from sdsuper.systemd.sockets import Passed
from sdsuper.values import Level

VARIABLE = "SDSUPER_HANDOVER"
"""Set by a daemon that executes its successor: the descriptors of the snapshot and of the box."""

_STORE, _BOX = "handover-", "box-"

_ENDED = "ended"
"""A file in the runtime directory: what was left has been ended since, and a new start is wanted.

The service's ExecStopPost= makes it in a restart that was asked for, of a daemon that could not
stop its programs itself.
"""

_PATIENCE = 1.0
"""Seconds that PID 1 is waited for, for what nothing else can replace."""

Report = Callable[[Level, str], None]
T = TypeVar("T")


STORED = "stored"
"""The record of names in systemd's store that a successor has no use for."""

_STAGE = "stage"


class Part(Protocol):
    """A part of the daemon that has something to hand on."""

    def export(self) -> Mapping[str, Plain]:
        """Return all its records."""

    def descriptors(self) -> Mapping[str, int]:
        """Return all its descriptors, by name."""


class Keeper:
    """Keeps for a successor what the parts of the daemon tell.

    Args:
        report: Writes to the daemon's log.
        notifier: The way to systemd's store.
        enabled: Whether systemd is to keep what a killed daemon leaves.
        generation: The number of what this daemon was left itself, 0 for nothing.

    Attributes:
        recording: Whether changes are recorded as they happen.
        before_flush: Called before each flush, to tell of what has not been told.
    """

    def __init__(
        self, report: Report, notifier: Notifier, *, enabled: bool, generation: int = 0
    ) -> None:
        self.recording = False
        self.before_flush: list[Callable[[], None]] = []
        self._report = report
        self._notifier = notifier
        self._enabled = enabled and notifier.enabled
        self._generation = generation
        self._parts: list[Part] = []
        self._store: Store | None = None
        self._box: Box | None = None
        self._changed: dict[str, Callable[[], Plain]] = {}
        self._gone: dict[str, None] = {}
        self._flushing = False
        self._renew_beyond = 0  # bytes of the file
        self._pack_beyond = 0  # dead descriptors in the box
        self._fed: int | None = None  # what the stage's record says, None = not to be relied on

    @property
    def enabled(self) -> bool:
        """Whether systemd is to keep what a killed daemon leaves."""
        return self._enabled

    @property
    def stored(self) -> tuple[str, ...]:
        """Names in systemd's store at this moment."""
        names = []
        if self._store is not None:
            names.append(f"{_STORE}{self._store.generation}")
        if self._box is not None:
            names.append(f"{_BOX}{self._box.generation}")
        return tuple(names)

    def register(self, part: Part) -> None:
        """Hand on what a part exports, too."""
        self._parts.append(part)

    # --- what parts tell ----------------------------------------------------------------------

    def changed(self, key: str, export: Callable[[], Plain]) -> None:
        """A record is to be written anew by the next flush.

        Args:
            key: The record.
            export: Makes what it says, when it is written.
        """
        if self.recording:
            self._gone.pop(key, None)
            self._changed[key] = export

    def gone(self, key: str) -> None:
        """A record is of no use any more."""
        if self.recording:
            self._changed.pop(key, None)
            self._gone[key] = None

    def hold(self, name: str, fd: int) -> None:
        """Keep a descriptor; it stays the caller's, and is dropped before it is closed."""
        self.hold_all({name: fd})

    def hold_all(self, fds: Mapping[str, int]) -> None:
        """Keep some descriptors."""
        if not self.recording or self._box is None:
            return
        try:
            self._box.put(fds)
        except BoxFullError:
            self._box.live.update(fds)
            self._pack(needed=True)

    def drop(self, name: str) -> None:
        """Keep a descriptor no longer."""
        if self._box is not None:
            self._box.drop(name)

    def flush(self) -> None:
        """Write down what was told since."""
        if not self.recording or self._flushing:
            return
        self._flushing = True
        try:
            self._flush()
        except OSError as error:
            self._give_up(f"cannot record what a successor would need: {error}")
        except Exception:  # noqa: BLE001  supervision goes on, whatever it was
            told = traceback_text()
            self._give_up(f"unexpected error in recording what a successor would need:\n{told}")
        finally:
            self._flushing = False

    def _flush(self) -> None:
        for tell in self.before_flush:
            tell()
        if self._store is not None and (self._changed or self._gone):
            records = {key: export() for key, export in self._changed.items()}
            if STAGE.active and STAGE.fed != self._fed:
                records[_STAGE] = self._fed = STAGE.fed
            gone = tuple(self._gone)
            self._changed.clear()
            self._gone.clear()
            self._store.append(records, gone)
            if self._store.is_mostly_garbage and self._store.size > self._renew_beyond:
                self._renew()
        box = self._box
        if box is not None and box.is_mostly_garbage and box.dead > self._pack_beyond:
            self._pack(needed=False)

    # --- systemd's store ----------------------------------------------------------------------

    def begin(self, left: Iterable[str] = ()) -> None:
        """Record from now on, if systemd keeps it; begin with all there is.

        Args:
            left: Names in systemd's store that are of no use from then on.
        """
        if self._enabled:
            try:
                self._store, self._box = self._snapshot({}, {})
            except (OSError, BoxFullError) as error:
                self._give_up(f"cannot record what a successor would need: {error}")
            else:
                self.recording = True
                self._keep_both()
        for name in left:
            self._notifier.send(fdstore.remove(name))

    def _keep_both(self) -> None:
        assert self._store is not None
        assert self._box is not None
        if self._keep_store(self._store) and self._keep_box(self._box):
            return
        self._give_up("systemd does not take what a successor would need")

    def _keep_store(self, store: Store) -> bool:
        return self._notifier.send_descriptors(
            fdstore.store(f"{_STORE}{store.generation}"), [store.fd], _PATIENCE
        )

    def _keep_box(self, box: Box) -> bool:
        ends = [end.fileno() for end in box.ends]
        return self._notifier.send_descriptors(
            fdstore.store(f"{_BOX}{box.generation}"), ends, _PATIENCE
        )

    def _renew(self) -> None:
        """Let a file without garbage take the place of the one that has too much."""
        old = self._store
        assert old is not None
        fresh = old.copy()
        if not self._keep_store(fresh):
            # The old one is still good. Whoever waited for PID 1 at each turn would do little else.
            fresh.close()
            self._renew_beyond = 2 * old.size
            return
        self._store = fresh
        self._renew_beyond = 0
        self._notifier.send(fdstore.remove(f"{_STORE}{old.generation}"))
        old.close()

    def _pack(self, *, needed: bool) -> None:
        """Let a box without garbage take the place of the one that is full.

        Args:
            needed: What is not in the old one must be in the new one.
        """
        old = self._box
        assert old is not None
        try:
            fresh = old.packed()
        except (BoxFullError, OSError) as error:
            self._give_up(f"cannot keep descriptors for a successor: {error}")
            return
        if not self._keep_box(fresh):
            fresh.close()
            if needed:
                self._give_up("systemd does not take what a successor would need")
            else:
                self._pack_beyond = 2 * old.dead
            return
        self._box = fresh
        self._pack_beyond = 0
        self._notifier.send(fdstore.remove(f"{_BOX}{old.generation}"))
        old.close()

    def pack(self) -> None:
        """Let go of what was dropped, now: somebody may wait for its other end to be told."""
        if self.recording and self._box is not None and self._box.dead:
            self._pack(needed=False)

    def _give_up(self, reason: str) -> None:
        """Keep nothing rather than something that is not true any more."""
        self._report(
            Level.CRITICAL, f"{reason}; programs do not outlive this daemon if it is killed"
        )
        self.recording = False
        self._enabled = False
        self.forget()

    def forget(self) -> None:
        """Leave nothing to anybody: everything is down."""
        if self._store is not None:
            self._notifier.send(fdstore.remove(f"{_STORE}{self._store.generation}"))
            self._store.void()  # also where that message is lost
            self._store.close()
        if self._box is not None:
            self._notifier.send(fdstore.remove(f"{_BOX}{self._box.generation}"))
            self._box.close()
        self._store = self._box = None
        self.recording = False
        self._changed.clear()
        self._gone.clear()

    # --- re-exec ------------------------------------------------------------------------------

    def _snapshot(self, records: Mapping[str, Plain], fds: Mapping[str, int]) -> tuple[Store, Box]:
        """Return a file and a box that hold all there is, and more.

        Raises:
            OSError: There is no memory, or no descriptor, for them.
            BoxFullError: The limit of descriptors on their way is too small.
        """
        newest = max(
            self._generation,
            self._store.generation if self._store is not None else 0,
            self._box.generation if self._box is not None else 0,
        )
        store = Store(stores.boot_id(), newest + 1)
        try:
            for part in self._parts:
                store.append(part.export())
            store.append({**records, _STAGE: STAGE.fed})
            box = Box(newest + 1)
        except BaseException:
            store.close()
            raise
        try:
            for part in self._parts:
                box.put(part.descriptors())
            box.put({**STAGE.fds(), **fds})
        except BaseException:
            store.close()
            box.close()
            raise
        return store, box

    @contextlib.contextmanager
    def snapshot(self, records: Mapping[str, Plain], fds: Mapping[str, int]) -> Iterator[Snapshot]:
        """Make all that a successor needs in place of this daemon, in this very process.

        Args:
            records: What this daemon does not record while it runs.
            fds: Descriptors that it does not keep while it runs.

        Raises:
            HandoverError: There is no room for it.
        """
        self.flush()
        try:
            store, box = self._snapshot(records, fds)
        except (OSError, BoxFullError) as error:
            raise HandoverError(f"there is no room for what is handed on: {error}") from None
        try:
            yield Snapshot(store, box)
        finally:
            store.close()
            box.close()


class Snapshot(NamedTuple):
    """All that a successor needs, at one moment."""

    store: Store
    box: Box

    @property
    def descriptors(self) -> tuple[int, ...]:
        """What has to stay open over execve(2)."""
        return self.store.fd, *(end.fileno() for end in self.box.ends)

    @property
    def variable(self) -> str:
        """What VARIABLE says."""
        return ",".join(map(str, self.descriptors))


def resume_stage(left: Inheritance) -> None:
    """Go on with the stage of an earlier daemon; where it had none we have none either.

    Raises:
        HandoverError: It is none of ours. It is closed, and another can be opened.
    """
    fds = {name: fd for name in STAGE_NAMES if (fd := left.take(name)) is not None}
    if not fds:
        return
    fed = left.records.get(_STAGE)
    try:
        STAGE.resume(fds, fed if isinstance(fed, int) else 0)
    except StageError as error:
        if STAGE.active:
            STAGE.close()
        else:
            _close_all(fds.values())
        raise HandoverError(str(error)) from None


# --- what was left to us --------------------------------------------------------------------------


@dataclass
class Inheritance:
    """What an earlier daemon has left.

    Attributes:
        records: By key.
        fds: By name; who takes one removes it.
        generation: The newest there was.
        in_place: It was this very process: its children are ours.
        stored: Names in systemd's store that are of no use once we have our own.
        notes: What of it nobody knows.
        limits: Our own limit of descriptors, raised for what is here.
    """

    records: dict[str, Plain]
    fds: dict[str, int]
    generation: int
    in_place: bool
    stored: tuple[str, ...] = ()
    notes: Notes = field(default_factory=list)
    limits: DescriptorLimit | None = None
    _made: dict[str, Any] = field(default_factory=dict)

    def once(self, what: str, make: Callable[[], T]) -> T:
        """Return what was made of some records, which is made only the first time.

        All of it is read for a check first, and then again by the parts of the daemon.
        """
        if what not in self._made:
            self._made[what] = make()
        made: T = self._made[what]
        return made

    def table(self, prefix: str) -> dict[str, Plain]:
        """Return the records whose keys begin so, by the rest of their keys."""
        return {
            key.removeprefix(prefix): plain
            for key, plain in self.records.items()
            if key.startswith(prefix)
        }

    def take(self, name: str) -> int | None:
        """Return a descriptor, which is the caller's from here on; None where there is none."""
        return self.fds.pop(name, None)

    def close(self) -> None:
        """Close what nobody took, and forget what was made of it."""
        self._made.clear()
        while self.fds:
            _, fd = self.fds.popitem()
            with contextlib.suppress(OSError):
                os.close(fd)


class Received(NamedTuple):
    """What came of the look for what an earlier daemon left.

    Attributes:
        inheritance: It, None where there is none that can be used.
        others: What else systemd passed.
        refusal: Why it cannot be used, None where it can or where there is none.
        stored: Names in systemd's store that are of no use.
        in_place: Whether it was this very process.
    """

    inheritance: Inheritance | None
    others: tuple[Passed, ...]
    refusal: str | None = None
    stored: tuple[str, ...] = ()
    in_place: bool = False


def was_ended(directory: str | None) -> bool:
    """Whether nothing may be gone on with, whatever an earlier daemon left; said only once.

    Args:
        directory: The runtime directory that systemd made, None where it made none.
    """
    if directory is None:
        return False
    try:
        os.unlink(os.path.join(directory, _ENDED))
    except OSError:
        return False
    return True


def receive(environ: MutableMapping[str, str], passed: Sequence[Passed]) -> Received:
    """Look for what an earlier daemon left. The variable is taken out of the environment.

    Args:
        environ: Our environment.
        passed: What systemd passed.
    """
    given = environ.pop(VARIABLE, None)
    ours = [each for each in passed if each.name.startswith((_STORE, _BOX))]
    others = tuple(each for each in passed if each not in ours)
    if given is not None:
        return _receive_in_place(given, passed)
    if not ours:
        return Received(None, others)
    stored = tuple(dict.fromkeys(each.name for each in ours))
    try:
        inheritance = _read_passed(ours, stored)
    except (HandoverError, OSError) as error:
        return Received(None, others, str(error), stored)
    return Received(inheritance, others, stored=stored)


def _receive_in_place(given: str, passed: Sequence[Passed]) -> Received:
    fds: list[int] = []
    try:
        fds = [int(each) for each in given.split(",")]
        snapshot = stores.read(fds[0], stores.boot_id())
        found = boxes.read(fds[1:])
    except (HandoverError, ValueError, OSError) as error:
        return Received(None, tuple(passed), str(error), in_place=True)
    finally:
        _close_all(fds)
    stored = tuple(each for each in snapshot.records.get(STORED, ()) if isinstance(each, str))
    left = Inheritance(snapshot.records, found, snapshot.generation, in_place=True, stored=stored)
    return Received(left, tuple(passed), in_place=True)


def _read_passed(ours: Sequence[Passed], stored: tuple[str, ...]) -> Inheritance:
    """Read the newest of what systemd kept: two are there when a daemon was killed in a change.

    Raises:
        HandoverError: None can be read; the text is about the newest.
        OSError: /proc cannot be read.
    """
    by_name: dict[str, list[int]] = {}
    for each in ours:
        by_name.setdefault(each.name, []).append(each.fd)
    boot = stores.boot_id()
    try:
        snapshot = _newest(by_name, _STORE, lambda fds: stores.read(fds[0], boot))
        found = _newest(by_name, _BOX, boxes.read)
    finally:
        _close_all(each.fd for each in ours)
    newest = max(_number(name) for name in by_name)
    return Inheritance(snapshot.records, found, newest, in_place=False, stored=stored)


def _newest(
    by_name: Mapping[str, Sequence[int]], prefix: str, read: Callable[[Sequence[int]], T]
) -> T:
    """Return the newest of a kind that can be read."""
    names = [name for name in by_name if name.startswith(prefix)]
    first: HandoverError | None = None
    for name in sorted(names, key=_number, reverse=True):
        try:
            return read(by_name[name])
        except HandoverError as error:
            first = first or error
    raise first or HandoverError("only a part of it was kept")


def _number(name: str) -> int:
    digits = name.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0


def _close_all(fds: Iterable[int]) -> None:
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
