"""The command line: getopt's grammar and Supervisor's texts."""

from __future__ import annotations

import pytest

from sdsuper.ctl.options import OPTIONS, parse, usage
from sdsuper.errors import UsageError


@pytest.mark.parametrize(
    ("line", "values", "words"),
    [
        ("", {}, []),
        ("status -c x", {}, ["status", "-c", "x"]),
        ("-c x status", {"configuration": "x"}, ["status"]),
        ("-cx -- -i", {"configuration": "x"}, ["-i"]),
        ("-ic x", {"interactive": "", "configuration": "x"}, []),
        ("--conf=x -", {"configuration": "x"}, ["-"]),
        ("--configuration x", {"configuration": "x"}, []),
        ("-s unix:///a", {"serverurl": "unix:///a"}, []),
        ("-s unix:/a", {"serverurl": "unix:/a"}, []),
        ("-s http://h", {"serverurl": "http://h"}, []),
        ("-s foo:bar", {"serverurl": "foo:bar"}, []),
        ("-u a -p b", {"username": "a", "password": "b"}, []),
        ("--user a --pass b", {"username": "a", "password": "b"}, []),
        ("-r f", {"history_file": "f"}, []),
        ("--history_file f", {"history_file": "f"}, []),
        ("--history-file=f", {"history_file": "f"}, []),
        ("--hi f", {"history_file": "f"}, []),
        ("--json status", {"json": ""}, ["status"]),
        ("-h -x", None, None),
        ("-i -? -c", None, None),
        ("--help", {"help": ""}, []),
        ("-c x -h y", {"help": ""}, ["y"]),
        ("-?", {"help": ""}, []),
    ],
)
def test_what_is_read(line: str, values: dict[str, str] | None, words: list[str] | None) -> None:
    if values is None:  # all of the line is split before any option counts
        with pytest.raises(UsageError):
            parse(line.split())
    else:
        arguments = parse(line.split())
        assert (arguments.values, arguments.words) == (values, words)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-x", "option -x not recognized"),
        ("-ix", "option -x not recognized"),
        ("--nope", "option --nope not recognized"),
        ("--nope=1", "option --nope not recognized"),
        ("-c", "option -c requires argument"),
        ("--conf", "option --configuration requires argument"),
        ("--h", "option --h not a unique prefix"),
        ("--help=3", "option --help must not have an argument"),
        ("--json=1", "option --json must not have an argument"),
        ("-i -i", "conflicting command line option '-i'"),
        ("-u a --username b", "conflicting command line option '--username'"),
        ("-r a --history-file b", "conflicting command line option '--history-file'"),
        ("-s foo", "invalid value for -s 'foo': value 'foo' is not a URL"),
        (
            "--server=http://",
            "invalid value for --serverurl 'http://': value 'http://' is not a URL",
        ),
        ("-s unix:///a -s b", "invalid value for -s 'b': value 'b' is not a URL"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        parse(line.split())
    assert str(error.value) == said
    assert error.value.exit_code == 2


def test_usage_begins_as_scripts_expect_and_tells_every_option_and_action() -> None:
    text = usage("supervisorctl", "/bin/supervisorctl", [("status", "show"), ("pid", "print")])
    assert text.startswith("supervisorctl -- control applications")
    assert "\n-i/--interactive -- start an interactive" in text
    assert "Usage: /bin/supervisorctl [options]" in text
    assert "\n  status  show\n  pid     print\n" in text
    assert all(f"--{option.name} " in text for option in OPTIONS if option.help)
