"""What is offered, under which names, with which arguments and help."""

from __future__ import annotations

import pytest

from sdsuper.config.model import RpcInterfaceConfig, ServerConfig
from sdsuper.config.servers import MAIN_FACTORY
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.registry import Registry, method
from sdsuper.server.sockets import startup_notes
from sdsuper.values import Level
from tests.unit.server.fakes import MAIN, FakeDaemon, registry_of

SIGNATURES = {
    "supervisor.addProcessGroup": ["boolean", "string"],
    "supervisor.clearAllProcessLogs": ["array"],
    "supervisor.clearLog": ["boolean"],
    "supervisor.clearProcessLog": ["boolean", "string"],
    "supervisor.clearProcessLogs": ["boolean", "string"],
    "supervisor.getAPIVersion": ["string"],
    "supervisor.getAllConfigInfo": ["array"],
    "supervisor.getAllProcessInfo": ["array"],
    "supervisor.getIdentification": ["string"],
    "supervisor.getPID": ["int"],
    "supervisor.getProcessInfo": ["struct", "string"],
    "supervisor.getState": ["struct"],
    "supervisor.getSupervisorVersion": ["string"],
    "supervisor.getVersion": ["string"],
    "supervisor.readLog": ["string", "int", "int"],
    "supervisor.readMainLog": ["string", "int", "int"],
    "supervisor.readProcessLog": ["string", "string", "int", "int"],
    "supervisor.readProcessStderrLog": ["string", "string", "int", "int"],
    "supervisor.readProcessStdoutLog": ["string", "string", "int", "int"],
    "supervisor.reloadConfig": ["array"],
    "supervisor.removeProcessGroup": ["boolean", "string"],
    "supervisor.restart": ["boolean"],
    "supervisor.sendProcessStdin": ["boolean", "string", "string"],
    "supervisor.sendRemoteCommEvent": ["boolean", "string", "string"],
    "supervisor.shutdown": ["boolean"],
    "supervisor.signalAllProcesses": ["array", "string"],
    "supervisor.signalProcess": ["boolean", "string", "string"],
    "supervisor.signalProcessGroup": ["array", "string", "string"],
    "supervisor.startAllProcesses": ["array", "boolean"],
    "supervisor.startProcess": ["boolean", "string", "boolean"],
    "supervisor.startProcessGroup": ["array", "string", "boolean"],
    "supervisor.stopAllProcesses": ["array", "boolean"],
    "supervisor.stopProcess": ["boolean", "string", "boolean"],
    "supervisor.stopProcessGroup": ["array", "string", "boolean"],
    "supervisor.tailProcessLog": ["array", "string", "int", "int"],
    "supervisor.tailProcessStderrLog": ["array", "string", "int", "int"],
    "supervisor.tailProcessStdoutLog": ["array", "string", "int", "int"],
    "system.listMethods": ["array"],
    "system.methodHelp": ["string", "string"],
    "system.methodSignature": ["array", "string"],
    "system.multicall": ["array", "array"],
}
"""What Supervisor 4.3 answers to system.methodSignature."""


def test_the_namespaces_of_supervisor_are_complete() -> None:
    registry = registry_of(FakeDaemon())
    own = [name for name in registry.methods if name.startswith("sdsuper.")]
    assert sorted(SIGNATURES) == [name for name in registry.methods if name not in own]
    assert "sdsuper.getVersion" in own


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_signature(name: str, signature: list[str]) -> None:
    registry = registry_of(FakeDaemon())
    assert registry.call("system.methodSignature", [name]) == signature


def test_every_method_says_what_it_does() -> None:
    registry = registry_of(FakeDaemon())
    for name, item in registry.methods.items():
        lines = item.help.splitlines()
        tags = [line.split(maxsplit=3) for line in lines if line.startswith("@")]
        assert lines[0].endswith("."), name
        assert [tag[0] for tag in tags] == ["@param"] * len(item.parameters) + ["@return"], name
        assert [tag[1] for tag in tags] == [*item.signature[1:], item.signature[0]], name
        assert all(len(tag) == 4 for tag in tags), name


def test_help_reads_like_this() -> None:
    registry = registry_of(FakeDaemon())
    assert registry.call("system.methodHelp", ["supervisor.addProcessGroup"]) == (
        "Make a group of the configuration read last active; its autostart programs start.\n"
        "\n"
        "@param string name name of the group\n"
        "@return boolean result true, unless there is a fault\n"
        "\n"
        "Faults: ALREADY_ADDED, BAD_NAME"
    )


@pytest.mark.parametrize("about", ["system.methodHelp", "system.methodSignature"])
def test_an_unknown_method_has_no_signature(about: str) -> None:
    with pytest.raises(Fault, match="SIGNATURE_UNSUPPORTED") as caught:
        registry_of(FakeDaemon()).call(about, ["supervisor.nope"])
    assert caught.value.code == FaultCode.SIGNATURE_UNSUPPORTED


@pytest.mark.parametrize(
    "name",
    [
        "getPID",
        "supervisor",
        "supervisor.",
        ".getPID",
        "supervisor.nope",
        "supervisor.getPID.real",
        "supervisor._update",
        "supervisor.__init__",
        "supervisor.supervisord.options.execve",
        "nope.getPID",
        "system.multicall.x",
        " supervisor.getPID",
    ],
)
def test_unknown_names_reach_nothing(name: str) -> None:
    with pytest.raises(Fault) as caught:
        registry_of(FakeDaemon()).call(name, [])
    assert caught.value.text == "UNKNOWN_METHOD"


def test_without_the_interface_there_is_no_supervisor_namespace() -> None:
    registry = registry_of(FakeDaemon(interfaces=()))
    with pytest.raises(Fault, match="UNKNOWN_METHOD"):
        registry.call("supervisor.getPID", [])
    assert "system.listMethods" in registry.methods


def test_the_section_names_the_namespace() -> None:
    other = RpcInterfaceConfig(name="control", factory=MAIN_FACTORY, options={})
    registry = registry_of(FakeDaemon(interfaces=(other,)))
    assert registry.call("control.getAPIVersion", []) == "3.0"
    assert "supervisor.getAPIVersion" not in registry.methods


# -- arguments -------------------------------------------------------------------------------------


@method("test.echo")
def echo(
    _registry: Registry, text: str, number: int = 0, flag: bool = True, thing: object = ""
) -> list[object]:
    """Return the arguments.

    Args:
        text: text
        number: number
        flag: flag
        thing: anything

    Returns:
        all of them
    """
    return [text, number, flag, thing]


def _echo(*params: object) -> object:
    registry = registry_of(FakeDaemon())
    registry.methods["test.echo"] = echo
    return registry.call("test.echo", list(params))


@pytest.mark.parametrize(
    ("params", "taken"),
    [
        (("a",), ["a", 0, True, ""]),
        (("a", 5), ["a", 5, True, ""]),
        (("a", "5"), ["a", 5, True, ""]),
        (("a", " -5 "), ["a", -5, True, ""]),
        (("a", 5.0), ["a", 5, True, ""]),
        (("a", True), ["a", 1, True, ""]),
        (("a", 0, False), ["a", 0, False, ""]),
        (("a", 0, 0), ["a", 0, False, ""]),
        (("a", 0, "1"), ["a", 0, True, ""]),
        (("a", 0, ""), ["a", 0, False, ""]),
        (("a", 0, True, ["x"]), ["a", 0, True, ["x"]]),
    ],
)
def test_arguments_are_taken_as_supervisor_takes_them(
    params: tuple[object, ...], taken: list[object]
) -> None:
    assert _echo(*params) == taken


@pytest.mark.parametrize(
    "params",
    [
        (),
        ("a", 0, True, "", "too many"),
        (5,),
        (["a"],),
        ({"a": 1},),
        (None,),
        ("a", "five"),
        ("a", "0x5"),
        ("a", ""),
        ("a", [5]),
        ("a", None),
        ("a", float("nan")),
        ("a", float("inf")),
        ("a", "9" * 5000),
    ],
)
def test_wrong_arguments_are_a_fault(params: tuple[object, ...]) -> None:
    with pytest.raises(Fault) as caught:
        _echo(*params)
    assert caught.value.text == "INCORRECT_PARAMETERS"


def test_a_type_error_inside_a_method_is_not_blamed_on_the_client() -> None:
    @method("test.broken")
    def broken(_registry: Registry) -> int:
        """Fail."""
        return 1 + None  # type: ignore[operator]

    registry = registry_of(FakeDaemon())
    registry.methods["test.broken"] = broken
    with pytest.raises(TypeError):
        registry.call("test.broken", [])


# -- shutting down ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["supervisor.shutdown", "supervisor.restart"])
def test_while_stopping_everything_of_supervisor_is_refused(how: str) -> None:
    registry = registry_of(FakeDaemon())
    assert registry.call(how, []) is True
    refused = [name for name in registry.methods if name.startswith("supervisor.")]
    refused.remove("supervisor.sendRemoteCommEvent")
    for name in refused:
        with pytest.raises(Fault) as caught:
            registry.call(name, [])
        assert caught.value.text == "SHUTDOWN_STATE", name


def test_while_stopping_remote_events_and_the_system_namespace_still_work() -> None:
    fake = FakeDaemon()
    registry = registry_of(fake)
    registry.call("supervisor.shutdown", [])
    assert registry.call("supervisor.sendRemoteCommEvent", ["a", "b"]) is True
    assert fake.events[-1].payload() == "type:a\nb"
    assert "system.listMethods" in registry.call("system.listMethods", [])


# -- what the log says at the start ----------------------------------------------------------------


def test_servers_without_authentication_are_announced() -> None:
    servers = [
        ServerConfig(section="inet_http_server", family="inet", port=9001, username="u"),
        ServerConfig(section="unix_http_server:x", family="unix", file="/run/x"),
    ]
    notes = startup_notes(servers, [MAIN])
    assert [(note.level, note.message) for note in notes] == [
        (Level.INFO, "RPC interface 'supervisor' initialized"),
        (Level.INFO, "RPC interface 'supervisor' initialized"),
        (
            Level.CRITICAL,
            "Server 'unix_http_server:x' running without any HTTP authentication checking",
        ),
    ]
