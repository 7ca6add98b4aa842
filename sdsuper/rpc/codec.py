"""XML-RPC calls and replies as bytes, and back.

Written on expat itself: `xmlrpc.client` costs 20 ms and 8 MB to import, which is more than a whole
`status` may take. What is read comes from anybody who can reach the socket, so document types and
entities are refused, nesting and the number of elements are bounded, and an element that is out of
place is an error rather than a guess.

A state machine with a stack reads the elements: GRAMMAR says which child an element may have next
and what the element then waits for; a state that ends in a dot is complete. Values go to a second
stack, from which the end of a struct or an array takes its own.
"""

from __future__ import annotations

from sdsuper.rpc.faults import Fault
from sdsuper.rpc.rows import read_plain

TYPE_CHECKING = False  # type checkers take it for true; importing typing costs 5 ms
if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any, TypeAlias

    Value: TypeAlias = (
        bool | int | float | str | bytes | dt.datetime | list["Value"] | dict[str, "Value"] | None
    )

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
"""What XML-RPC's int can hold; greater numbers are capped, as Supervisor does for 2038."""

DEPTH_MAX = 200
"""Open elements at a time; a struct or an array takes three of them."""

CALL_ELEMENTS_MAX = 200_000
REPLY_ELEMENTS_MAX = 20_000_000
"""Elements in one document. A reply about 1000 processes has 60 000."""

DATETIME_FORMAT = "%Y%m%dT%H:%M:%S"


class MalformedXml(ValueError):  # noqa: N818 - reads as what it is
    """What arrived is not an XML-RPC document."""


class NoMethodName(MalformedXml):
    """A call that does not say what it calls."""


class Raw(bytes):
    """A value that is written already: `<value>...</value>`, put into the document as it is."""


class Pieces(tuple[bytes, ...]):
    """The same in pieces, so that a large one is joined once, when the document is."""

    __slots__ = ()


# -- reading ---------------------------------------------------------------------------------------


def _nothing(_text: str) -> None:
    return None


def _boolean(text: str) -> bool:
    # Supervisor's behaviour: `1` is true, everything else is false.
    return text.strip() == "1"


def _datetime(text: str) -> dt.datetime:
    import datetime as dt

    # A naive time is what the format can say; which zone it is in is between the two peers.
    return dt.datetime.strptime(text.strip(), DATETIME_FORMAT)  # noqa: DTZ007


def _base64(text: str) -> bytes:
    import binascii

    return binascii.a2b_base64(text)


def _base64_text(text: str) -> str:
    return _base64(text).decode()


SCALARS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "int": int,
    "i4": int,
    "i8": int,
    "ex:i8": int,
    "boolean": _boolean,
    "double": float,
    "dateTime.iso8601": _datetime,
    "base64": _base64,
    "nil": _nothing,
    "ex:nil": _nothing,
}
"""The elements that hold one value as text, and what makes the value of it."""

CALL_SCALARS = {**SCALARS, "base64": _base64_text}
"""The same for calls, whose methods take text (Supervisor's behaviour)."""

GRAMMAR: dict[str, dict[str, str]] = {
    "": {"methodCall": ".", "methodResponse": "."},
    "methodCall": {"methodName": "methodCall."},
    "methodCall.": {"params": "methodCall.."},
    "methodResponse": {"params": "methodResponse.", "fault": "methodResponse."},
    "params": {"param": "params"},
    "param": {"value": "param."},
    "fault": {"value": "fault."},
    "value": dict.fromkeys((*SCALARS, "struct", "array"), "value."),
    "struct": {"member": "struct"},
    "member": {"name": "member+name"},
    "member+name": {"value": "member."},
    "array": {"data": "array."},
    "data": {"value": "data"},
}
"""state: {child that may follow: state after it}."""

INCOMPLETE = frozenset({"methodResponse", "param", "fault", "member", "member+name", "array"})
"""States in which an element must not end."""


class _Reader:
    """The handlers of one document."""

    def __init__(self, scalars: dict[str, Callable[[str], Any]], elements_max: int) -> None:
        self.values: list[Any] = []
        self.method = ""
        self.root = ""
        self.is_fault = False
        self._states = [""]
        self._marks: list[int] = []
        self._text: list[str] = []
        self._scalars = scalars
        self._elements_left = elements_max

    def parse(self, data: bytes) -> None:
        from xml.parsers import expat  # most replies are read without

        parser = expat.ParserCreate(intern={})
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.StartDoctypeDeclHandler = _refuse_doctype
        parser.EntityDeclHandler = _refuse_doctype
        try:
            parser.Parse(data, True)
        except expat.ExpatError as error:
            raise MalformedXml(f"not well-formed XML: {error}") from None
        except MalformedXml:
            raise
        except (ValueError, LookupError, OverflowError) as error:
            raise MalformedXml(f"not a value: {error}") from None

    def _start(self, tag: str, _attributes: object) -> None:
        states = self._states
        after = GRAMMAR.get(states[-1], {}).get(tag)
        if after is None:
            raise MalformedXml(f"<{_shown(tag)}> is out of place")
        states[-1] = after
        states.append(tag)
        self._text.clear()
        if tag in {"struct", "array"}:
            self._marks.append(len(self.values))
        elif len(states) == 2:
            self.root = tag
        self._elements_left -= 1
        if self._elements_left < 0:
            raise MalformedXml("too many elements")
        if len(states) > DEPTH_MAX:
            raise MalformedXml("nested too deeply")

    def _end(self, tag: str) -> None:
        state = self._states.pop()
        scalar = self._scalars.get(tag)
        if scalar is not None:
            self.values.append(scalar("".join(self._text)))
        elif state == "value":  # no element inside: a string
            self.values.append("".join(self._text))
        elif state in INCOMPLETE:
            raise MalformedXml(f"<{_shown(tag)}> is incomplete")
        elif tag == "name":
            self.values.append("".join(self._text))
        elif tag == "struct":
            items = self._take()
            self.values.append(dict(zip(items[::2], items[1::2], strict=True)))
        elif tag == "array":
            self.values.append(self._take())
        elif tag == "methodName":
            self.method = "".join(self._text).strip()
        elif tag == "fault":
            self.is_fault = True

    def _take(self) -> list[Any]:
        mark = self._marks.pop()
        items = self.values[mark:]
        del self.values[mark:]
        return items


def _refuse_doctype(*_: object) -> None:
    raise MalformedXml("document type and entity declarations are not accepted")


def _shown(tag: str) -> str:
    return tag if len(tag) <= 40 else tag[:40] + "..."


def loads_call(data: bytes) -> tuple[str, list[Value]]:
    """Read a call: the method's name and its parameters.

    Integers of any size are read; `base64` becomes text, `nil` None.

    Raises:
        NoMethodName: It has none.
        MalformedXml: It is no call, or has declarations, too many elements or too deep a nesting.
    """
    reader = _Reader(CALL_SCALARS, CALL_ELEMENTS_MAX)
    reader.parse(data)
    if reader.root != "methodCall":
        raise MalformedXml("not a methodCall")
    if not reader.method:
        raise NoMethodName("the call has no methodName")
    return reader.method, reader.values


def loads_response(data: bytes) -> Value:
    """Read a reply: the value it carries.

    Raises:
        Fault: The reply is one.
        MalformedXml: It is no reply.
    """
    plain: Value = read_plain(data, SCALARS)
    if plain is not None:
        return plain
    reader = _Reader(SCALARS, REPLY_ELEMENTS_MAX)
    reader.parse(data)
    if reader.root != "methodResponse" or len(reader.values) != 1:
        raise MalformedXml("not a methodResponse with one value")
    value: Value = reader.values[0]
    if reader.is_fault:
        raise _fault(value)
    return value


def _fault(value: Value) -> Fault:
    if isinstance(value, dict):
        code, text = value.get("faultCode"), value.get("faultString")
        if isinstance(code, int) and isinstance(text, str):
            return Fault.from_wire(code, text)
    raise MalformedXml("a fault without faultCode and faultString")


# -- writing ---------------------------------------------------------------------------------------

_HEADER = b"<?xml version='1.0'?>\n"
_RESPONSE = _HEADER + b"<methodResponse>\n<params>\n<param>\n", b"\n</param>\n</params>\n"
_FAULT = _HEADER + b"<methodResponse>\n<fault>\n", b"\n</fault>\n"


def dumps_call(method: str, params: Iterable[object]) -> bytes:
    """Write a call.

    Raises:
        TypeError: A parameter has no XML-RPC type (None has none).
    """
    name = escape(method)
    parts = [_HEADER, b"<methodCall>\n<methodName>", name, b"</methodName>\n<params>\n"]
    for param in params:
        parts.append(b"<param>\n")
        _write(param, parts)
        parts.append(b"\n</param>\n")
    parts.append(b"</params>\n</methodCall>\n")
    return b"".join(parts)


def dumps_response(value: object) -> bytes:
    """Write the reply of a method that returned `value`.

    Raises:
        TypeError: The value has no XML-RPC type (None has none).
    """
    before, after = _RESPONSE
    parts = [before]
    _write(value, parts)  # not dumps_value: large replies are joined once
    parts += (after, b"</methodResponse>\n")
    return b"".join(parts)


def dumps_fault(fault: Fault) -> bytes:
    """Write the reply of a method that raised."""
    before, after = _FAULT
    value = dumps_value({"faultCode": fault.code, "faultString": fault.text})
    return b"".join((before, value, after, b"</methodResponse>\n"))


def dumps_value(value: object) -> Raw:
    """Write one value, to be kept and put into replies later."""
    parts: list[bytes] = []
    _write(value, parts)
    return Raw(b"".join(parts))


def dumps_members(members: Mapping[str, object]) -> bytes:
    """Write some members of a struct, to be kept and joined by `join_struct`."""
    parts: list[bytes] = []
    _write_members(members, parts)
    return b"".join(parts)


def join_struct(*members: bytes) -> Pieces:
    """Make a struct of members that `dumps_members` wrote."""
    return Pieces((b"<value><struct>\n", *members, b"</struct></value>"))


def escape(text: str) -> bytes:
    """Return text as it stands in an element.

    Characters that XML 1.0 forbids, which no escape can carry, become U+FFFD. A carriage return
    is written by number, since parsers turn a bare one into a newline.
    """
    if not text.isprintable():
        text = _replace_forbidden(text)
    if "&" in text:
        text = text.replace("&", "&amp;")
    if "<" in text:
        text = text.replace("<", "&lt;")
    if ">" in text:
        text = text.replace(">", "&gt;")
    if "\r" in text:
        text = text.replace("\r", "&#13;")
    return text.encode()


def _replace_forbidden(text: str) -> str:
    import re

    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _write(value: object, parts: list[bytes]) -> None:
    if isinstance(value, str):
        parts.append(b"<value><string>%b</string></value>" % escape(value))
    elif isinstance(value, bool):
        parts.append(b"<value><boolean>%d</boolean></value>" % value)
    elif isinstance(value, int):
        parts.append(b"<value><int>%d</int></value>" % min(max(value, INT_MIN), INT_MAX))
    elif isinstance(value, Raw):
        parts.append(value)
    elif isinstance(value, Pieces):
        parts += value
    elif isinstance(value, dict):
        parts.append(b"<value><struct>\n")
        _write_members(value, parts)
        parts.append(b"</struct></value>")
    elif isinstance(value, (list, tuple)):
        parts.append(b"<value><array><data>\n")
        for item in value:
            _write(item, parts)
            parts.append(b"\n")
        parts.append(b"</data></array></value>")
    else:
        _write_rare(value, parts)


def _write_members(members: Mapping[str, object], parts: list[bytes]) -> None:
    for name, value in members.items():
        if not isinstance(name, str):
            raise TypeError("a struct's names must be strings")
        parts.append(b"<member>\n<name>%b</name>\n" % escape(name))
        _write(value, parts)
        parts.append(b"\n</member>\n")


def _write_rare(value: object, parts: list[bytes]) -> None:
    if isinstance(value, float):
        parts.append(b"<value><double>%b</double></value>" % repr(float(value)).encode())
    elif isinstance(value, (bytes, bytearray)):
        import binascii

        text = binascii.b2a_base64(value, newline=False)
        parts.append(b"<value><base64>%b</base64></value>" % text)
    elif hasattr(value, "strftime"):
        text = value.strftime(DATETIME_FORMAT).encode()
        parts.append(b"<value><dateTime.iso8601>%b</dateTime.iso8601></value>" % text)
    elif hasattr(value, "encode"):  # xmlrpc.client's DateTime and Binary, from a plugin
        value.encode(_TextWriter(parts))
    else:
        raise TypeError(f"a {type(value).__name__} cannot be sent by XML-RPC")


class _TextWriter:
    """What the wrappers of xmlrpc.client write themselves to."""

    def __init__(self, parts: list[bytes]) -> None:
        self._parts = parts

    def write(self, text: str) -> None:
        self._parts.append(text.encode())
