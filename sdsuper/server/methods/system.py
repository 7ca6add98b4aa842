"""The methods about methods. They get the registry where the others get the daemon."""

# ruff: noqa: D417 - the first argument is not the client's, and the help is made of the others

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from sdsuper.errors import traceback_text
from sdsuper.rpc.faults import Fault, FaultCode
from sdsuper.server.caller import calling, present_caller
from sdsuper.server.registry import Method, Registry, method
from sdsuper.values import Level

if TYPE_CHECKING:
    from sdsuper.server.plugins import PluginMethod

MULTICALL = "system.multicall"


@method("system.listMethods", while_stopping=True)
def list_methods(registry: Registry) -> list[str]:
    """Return the names of all methods.

    Returns:
        an array of names
    """
    return list(registry.documented)


@method("system.methodHelp", faults=(FaultCode.SIGNATURE_UNSUPPORTED,), while_stopping=True)
def method_help(registry: Registry, name: str) -> str:
    """Return what a method does, takes and returns.

    Args:
        name: name of the method

    Returns:
        the text
    """
    return _documented(registry, name).help


@method("system.methodSignature", faults=(FaultCode.SIGNATURE_UNSUPPORTED,), while_stopping=True)
def method_signature(registry: Registry, name: str) -> list[str]:
    """Return the types of a method.

    Args:
        name: name of the method

    Returns:
        an array of type names: of the result, then of each argument
    """
    return _documented(registry, name).signature


@method(MULTICALL, while_stopping=True)
async def multicall(registry: Registry, calls: list[object]) -> list[object]:
    """Call several methods, one after the other, each when the one before it has ended.

    Args:
        calls: an array of structs with the keys methodName (string) and params (array)

    Returns:
        an array with the value of each call, or a struct of faultCode and faultString
    """
    return [await _one_of_many(registry, call) for call in calls]


def _documented(registry: Registry, name: str) -> Method | PluginMethod:
    found = registry.documented.get(name)
    if found is None:
        raise Fault(FaultCode.SIGNATURE_UNSUPPORTED)
    return found


async def _one_of_many(registry: Registry, call: object) -> object:
    try:
        name, params = _call_of(call)
        caller = present_caller()
        with calling(None if caller is None else caller.calling(name)):
            value = registry.call(name, params)
            return await value if isinstance(value, Awaitable) else value
    except Fault as fault:
        return _as_struct(fault)
    except Exception as error:  # noqa: BLE001 - one call must not cost the others their results
        registry.daemon.log.log(
            Level.CRITICAL, f"unexpected exception in a multicall: {traceback_text()}"
        )
        return _as_struct(Fault(FaultCode.FAILED, f"{type(error)}:{error}"))


def _as_struct(fault: Fault) -> dict[str, object]:
    return {"faultCode": fault.code, "faultString": fault.text}


def _call_of(call: object) -> tuple[str, list[object]]:
    if not isinstance(call, dict):
        raise Fault(FaultCode.INCORRECT_PARAMETERS, "No methodName")
    name, params = call.get("methodName"), call.get("params", [])
    if not name:
        raise Fault(FaultCode.INCORRECT_PARAMETERS, "No methodName")
    if name == MULTICALL:
        raise Fault(FaultCode.INCORRECT_PARAMETERS, "Recursive system.multicall forbidden")
    if not isinstance(name, str) or not isinstance(params, list):
        raise Fault(FaultCode.INCORRECT_PARAMETERS)
    return name, params
