import sys
from collections.abc import Callable

import pytest

from sdsuper.core.actions import EndStrays, Finish, Log, Spawn
from sdsuper.core.facts import (
    Cleared,
    DaemonStarted,
    DeadlinePassed,
    Exited,
    GroupAdded,
    RestartRequested,
    ShutdownRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from sdsuper.core.manager import Manager
from sdsuper.core.states import ManagerState, ProcessState
from sdsuper.values import ExitStatus
from tests.unit.core.builders import at, group_config, namespec, process_config, solo


def manager_of(*names: str) -> Manager:
    manager = Manager()
    for name in names:
        manager.handle(GroupAdded(solo(name, autostart=False)), at(0))
    manager.handle(DaemonStarted(), at(0))
    return manager


def test_names_in_order() -> None:
    manager = Manager()
    web = group_config(
        "web",
        process_config("c", "web", priority=2),
        process_config("b", "web", priority=1),
        process_config("a", "web", priority=2),
        priority=5,
    )
    for config in (web, solo("last", 999), solo("first", -1), solo("late", 5)):
        manager.handle(GroupAdded(config), at(0))
    ascending = ["first", "web:b", "web:c", "web:a", "late", "last"]
    assert list(manager.groups) == ["first", "web", "late", "last"]
    assert [str(name) for name in manager.names_in_order()] == ascending
    assert [str(name) for name in manager.names_in_order(descending=True)] == ascending[::-1]
    assert [name.process for name in manager.names_in_order("web")] == ["b", "c", "a"]
    assert [name.process for name in manager.names_in_order("web", descending=True)] == [
        "a",
        "c",
        "b",
    ]
    with pytest.raises(KeyError):
        manager.names_in_order("nowhere")


def test_a_group_may_come_with_what_is_to_start() -> None:
    manager = manager_of()
    group = group_config(
        "g",
        *(
            process_config(name, "g", autostart=name != "by-hand")
            for name in ("up", "by-hand", "down")
        ),
    )
    actions = manager.handle(GroupAdded(group, frozenset({"up", "by-hand"})), at(1))
    spawned = [action.name.process for action in actions if isinstance(action, Spawn)]
    assert spawned == ["up", "by-hand"]
    manager.handle(ShutdownRequested(), at(2))
    late = GroupAdded(solo("late"), frozenset({"late"}))
    assert not [each for each in manager.handle(late, at(3)) if isinstance(each, Spawn)]


def test_a_process_that_is_named_twice_is_one() -> None:
    manager = Manager()
    twice = group_config("g", process_config("a", "g"), process_config("a", "g", startsecs=9))
    manager.handle(GroupAdded(twice), at(0))
    assert [str(name) for name in manager.names_in_order()] == ["g:a"]
    assert manager.processes[namespec("g:a")].config.startsecs == 9


def test_a_restart_is_due_in_the_turn_in_which_nothing_is_left() -> None:
    manager = manager_of("a")
    a = namespec("a")
    manager.handle(StartRequested(a), at(0))
    manager.handle(Spawned(a, 1, 100), at(0))
    manager.handle(DeadlinePassed(), at(1))
    first, *_ = manager.handle(Exited(a, 1, ExitStatus(1)), at(2))
    assert first == EndStrays(a, 1, 10.0)
    first, *_ = manager.handle(Cleared(a, 1), at(2))
    assert isinstance(first, Spawn)


def test_invocations_are_of_one_counter() -> None:
    manager = manager_of("a", "b")
    actions = [
        *manager.handle(StartRequested(namespec("b")), at(0)),
        *manager.handle(StartRequested(namespec("a")), at(0)),
    ]
    spawns = [action for action in actions if isinstance(action, Spawn)]
    assert [(spawn.name.process, spawn.invocation) for spawn in spawns] == [("b", 1), ("a", 2)]


def test_what_is_not_there_is_ignored() -> None:
    manager = manager_of()
    ghost = namespec("ghost")
    for fact in (StartRequested(ghost), StopRequested(ghost), Cleared(ghost, 1)):
        assert manager.handle(fact, at(0)) == []
    assert manager.deadline() is None


def test_a_shutdown_request_turns_a_restart_into_a_shutdown() -> None:
    manager = manager_of("a")
    manager.handle(StartRequested(namespec("a")), at(0))
    manager.handle(RestartRequested(), at(0))
    assert manager.state is ManagerState.RESTARTING
    manager.handle(ShutdownRequested(), at(0))
    assert manager.state is ManagerState.SHUTDOWN
    manager.handle(RestartRequested(), at(0))
    assert manager.state is ManagerState.SHUTDOWN
    assert Finish(restart=False) in manager.handle(SpawnFailed(namespec("a"), 1, "no"), at(0))
    assert manager.deadline() is None


def test_the_report_names_all_that_are_waited_for() -> None:
    manager = manager_of("a", "b")
    for number, name in enumerate("ab", 1):
        manager.handle(StartRequested(namespec(name)), at(0))
        manager.handle(Spawned(namespec(name), number, 100 + number), at(0))
    said = [each for each in manager.handle(ShutdownRequested(), at(1)) if isinstance(each, Log)]
    assert said[-1].message == "waiting for a, b to die"
    assert manager.deadline() == 4


def test_deadlines_of_the_past_do_not_pile_up() -> None:
    manager = manager_of("a")
    a = namespec("a")
    for number in range(1, 2000):
        now = at(number / 1000)
        manager.handle(StartRequested(a), now)
        manager.handle(Spawned(a, number, 100), now)
        manager.handle(StopRequested(a), now)
        manager.handle(Exited(a, number, ExitStatus(0)), now)
        manager.handle(Cleared(a, number), now)
    assert manager.processes[a].state is ProcessState.STOPPED
    assert len(manager._deadlines) < 100
    assert manager.deadline() is None


def calls_of(do: Callable[[], object]) -> int:
    """Count the Python calls that something takes: a measure of work that no clock disturbs."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(profile)
    try:
        do()
    finally:
        sys.setprofile(None)
    return count


def work_of_one_fact(processes: int) -> int:
    names = [f"p{index:04}" for index in range(processes)]
    manager = manager_of(*names)
    for number, name in enumerate(names, 1):
        manager.handle(StartRequested(namespec(name)), at(0))
        manager.handle(Spawned(namespec(name), number, number), at(0))
    manager.handle(DeadlinePassed(), at(1))
    middle = processes // 2
    exited = Exited(namespec(names[middle]), middle + 1, ExitStatus(1))

    def one_restart() -> None:
        manager.handle(exited, at(2))
        manager.handle(Cleared(exited.name, exited.invocation), at(2))
        manager.handle(Spawned(exited.name, processes + 1, 1), at(2))
        manager.deadline()

    return calls_of(one_restart)


def test_the_work_of_a_fact_does_not_depend_on_the_number_of_processes() -> None:
    assert work_of_one_fact(1000) <= work_of_one_fact(10) + 20


def test_who_must_speak_gets_the_time_anew_where_nobody_listened() -> None:
    manager = Manager()
    for config in (solo("pings", watchdog=10), solo("starts", notify=True, start_timeout=20)):
        manager.handle(GroupAdded(config), at(0))
    manager.handle(GroupAdded(solo("stops", stopwaitsecs=30)), at(0))
    manager.handle(DaemonStarted(), at(0))
    for number, (name, process) in enumerate(manager.processes.items(), 100):
        manager.handle(Spawned(name, process.invocation, number), at(0))
    manager.handle(DeadlinePassed(), at(1))
    manager.handle(StopRequested(namespec("stops")), at(2))
    manager.touched.clear()
    assert manager.processes[namespec("pings")].deadline == 11

    manager.listen_again(at(100))

    deadlines = {str(name): each.deadline for name, each in manager.processes.items()}
    assert deadlines == {"pings": 110, "starts": 120, "stops": 32}
    assert manager.touched == {namespec("pings"), namespec("starts")}
    manager.handle(DeadlinePassed(), at(105))
    assert manager.processes[namespec("pings")].failing is None
    manager.handle(DeadlinePassed(), at(110))
    assert manager.processes[namespec("pings")].failing is not None
