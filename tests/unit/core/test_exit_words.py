import pytest

from sdsuper.config.model import Memory
from sdsuper.core.history import describe_end
from sdsuper.values import ExitStatus, signal_name


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "SIGHUP"),
        (9, "SIGKILL"),
        (15, "SIGTERM"),
        (29, "SIGPOLL"),
        (34, "SIGRTMIN"),
        (42, "signal 42"),
        (64, "SIGRTMAX"),
        (65, "signal 65"),
        (0, "signal 0"),
    ],
)
def test_signals_are_named_as_in_supervisors_log(number: int, name: str) -> None:
    assert signal_name(number) == name


@pytest.mark.parametrize(
    ("status", "words", "value"),
    [
        (ExitStatus(0), "exit status 0", 0),
        (ExitStatus(127), "exit status 127", 127),
        (ExitStatus(None, 15), "terminated by SIGTERM", -1),
        (ExitStatus(None, 11, core_dumped=True), "terminated by SIGSEGV (core dumped)", -1),
        (ExitStatus(None, 42), "terminated by signal 42", -1),
        (ExitStatus(None), "unknown termination cause", -1),
    ],
)
def test_an_exit_in_words_and_as_a_number(status: ExitStatus, words: str, value: int) -> None:
    assert status.describe() == words
    assert status.value == value


@pytest.mark.parametrize(
    ("oom", "memory_max", "words"),
    [
        (False, Memory(2**25), "terminated by SIGKILL"),
        (True, None, "terminated by SIGKILL, out of memory"),
        (True, Memory(2**25), "terminated by SIGKILL, out of memory: memory_max=32MB"),
        (True, Memory(40, percent=True), "terminated by SIGKILL, out of memory: memory_max=40%"),
    ],
)
def test_a_kill_for_want_of_memory(oom: bool, memory_max: Memory | None, words: str) -> None:
    assert describe_end(ExitStatus(None, 9), oom=oom, memory_max=memory_max) == words
