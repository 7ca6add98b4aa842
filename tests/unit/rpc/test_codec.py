"""The codec against the standard library's, both ways, and against what strangers may send."""

from __future__ import annotations

import datetime as dt
import re
import xmlrpc.client
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.rpc import codec
from sdsuper.rpc.codec import MalformedXml, NoMethodName, Pieces
from sdsuper.rpc.faults import Fault

# What XML 1.0 can carry. A bare carriage return is a newline to every parser.
TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\r\ufffe\uffff").filter(
        lambda c: c in "\t\n" or c >= " "
    )
)
ANY_TEXT = st.text(st.characters())  # lone surrogates and control characters too
INTS = st.integers(-(2**31), 2**31 - 1)
MOMENT = dt.datetime.fromisoformat("2024-02-29T01:02:03")
MOMENTS = st.integers(0, 10**9).map(lambda seconds: MOMENT + dt.timedelta(seconds=seconds))
SCALARS = TEXT | INTS | st.booleans() | st.floats(allow_nan=False) | st.binary() | MOMENTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


def same(left: object, right: object) -> bool:
    """Compare values and types, since True == 1 == 1.0."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return type(left) is type(right) and left == right


@given(VALUES)
def test_the_standard_library_reads_our_replies(value: Any) -> None:
    (read,), method = xmlrpc.client.loads(codec.dumps_response(value), use_builtin_types=True)
    assert same(read, value)
    assert method is None


@given(VALUES)
def test_we_read_the_standard_librarys_replies(value: Any) -> None:
    data = xmlrpc.client.dumps((value,), methodresponse=True)
    assert same(codec.loads_response(data.encode()), value)


@given(TEXT, st.lists(VALUES, max_size=3))
def test_the_standard_library_reads_our_calls(word: str, params: list[Any]) -> None:
    read, method = xmlrpc.client.loads(
        codec.dumps_call(f"a.{word}", params), use_builtin_types=True
    )
    assert same(list(read), params)
    assert method == f"a.{word}"


@given(st.lists(TEXT | INTS | st.booleans() | st.lists(INTS), max_size=3))
def test_we_read_the_standard_librarys_calls(params: list[Any]) -> None:
    data = xmlrpc.client.dumps(tuple(params), "system.x").encode()
    method, read = codec.loads_call(data)
    assert method == "system.x"
    assert same(read, params)


@given(ANY_TEXT)
def test_any_text_can_be_sent(text: str) -> None:
    """What XML forbids is replaced, one for one; all else arrives, carriage returns too."""
    read = codec.loads_response(codec.dumps_response(text))
    assert isinstance(read, str)
    allowed = "[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    expected = "".join(c if re.fullmatch(allowed, c) else "\ufffd" for c in text)
    assert read == expected
    assert xmlrpc.client.loads(codec.dumps_response(text))[0][0] == expected


@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(MalformedXml):
        codec.loads_call(data)


def call(value: str) -> bytes:
    return (
        "<?xml version='1.0'?><methodCall><methodName> a.b </methodName><params>"
        f"<param>{value}</param></params></methodCall>"
    ).encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<value>plain</value>", "plain"),
        ("<value></value>", ""),
        ("<value/>", ""),
        ("<value><string/></value>", ""),
        ("<value> <i4> -7 </i4> </value>", -7),
        ("<value><i8>99999999999</i8></value>", 99999999999),
        ("<value><boolean>1</boolean></value>", True),
        ("<value><boolean>true</boolean></value>", False),
        ("<value><double>1.5</double></value>", 1.5),
        ("<value><nil/></value>", None),
        ("<value><base64>aMOp\n</base64></value>", "hé"),
        ("<value><string>a<!-- no -->b<![CDATA[<c>]]>&#233;&lt;</string></value>", "ab<c>é<"),
        ("<value><array><data/></array></value>", []),
        ("<value><struct/></value>", {}),
        (
            "<value><dateTime.iso8601>20240229T01:02:03</dateTime.iso8601></value>",
            MOMENT,
        ),
        (
            (
                "<value><struct><member><name>k</name><value><array><data><value>x</value></data>"
                "</array></value></member></struct></value>"
            ),
            {"k": ["x"]},
        ),
    ],
)
def test_what_a_value_may_look_like(value: str, expected: object) -> None:
    method, (read,) = codec.loads_call(call(value))
    assert method == "a.b"
    assert same(read, expected)


def test_params_may_be_absent_and_other_encodings_are_read() -> None:
    assert codec.loads_call(b"<methodCall><methodName>m</methodName></methodCall>") == ("m", [])
    latin = "<?xml version='1.0' encoding='iso-8859-1'?><methodCall><methodName>m</methodName>"
    latin += "<params><param><value>é</value></param></params></methodCall>"
    assert codec.loads_call(latin.encode("latin-1")) == ("m", ["é"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not well-formed"),
        (b"hello", "not well-formed"),
        (call("<value>&nope;</value>"), "not well-formed"),
        (b"<methodResponse/>", "incomplete"),
        (b"<other/>", "<other> is out of place"),
        (call("<int>1</int>"), "<int> is out of place"),
        (call("<value><int>1</int><int>2</int></value>"), "out of place"),
        (call("<value><int><i4>1</i4></int></value>"), "out of place"),
        (call("<value><int>one</int></value>"), "not a value"),
        (call("<value><int></int></value>"), "not a value"),
        (call("<value><base64>////</base64></value>"), "not a value"),
        (call("<value><base64>a</base64></value>"), "not a value"),
        (call("<value><dateTime.iso8601>now</dateTime.iso8601></value>"), "not a value"),
        (call("<value><struct><member><name>a</name></member></struct></value>"), "incomplete"),
        (call("<value><struct><member><value>a</value></member></struct></value>"), "place"),
        (call("<value><array></array></value>"), "incomplete"),
        (call(""), "incomplete"),
        (call("<value>" + "<array><data><value>" * 70), "nested too deeply"),
        (call(f"<value><int>{'9' * 5000}</int></value>"), "not a value"),
        (b"<!DOCTYPE x><methodCall/>", "declarations are not accepted"),
        (
            (
                b'<!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><methodCall>'
                b"<methodName>&c;</methodName></methodCall>"
            ),
            "declarations are not accepted",
        ),
        (b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><methodCall/>', "not accepted"),
    ],
)
def test_what_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(MalformedXml, match=re.escape(said)):
        codec.loads_call(data)


def test_the_number_of_elements_is_bounded() -> None:
    many = "<value/>" * codec.CALL_ELEMENTS_MAX
    with pytest.raises(MalformedXml, match="too many elements"):
        codec.loads_call(call(f"<value><array><data>{many}</data></array></value>"))


@pytest.mark.parametrize(
    "data",
    [
        b"<methodCall/>",
        b"<methodCall><methodName/></methodCall>",
        b"<methodCall><methodName>  </methodName><params/></methodCall>",
    ],
)
def test_a_call_without_a_name_is_told_apart(data: bytes) -> None:
    with pytest.raises(NoMethodName):
        codec.loads_call(data)


def test_a_call_is_no_reply_and_a_reply_no_call() -> None:
    with pytest.raises(MalformedXml):
        codec.loads_response(codec.dumps_call("a.b", ["x"]))
    with pytest.raises(MalformedXml):
        codec.loads_call(codec.dumps_response("x"))


def test_faults_cross_both_ways() -> None:
    data = codec.dumps_fault(Fault(10, "<é>"))
    assert data.startswith(b"<?xml version='1.0'?>")
    with pytest.raises(xmlrpc.client.Fault) as theirs:
        xmlrpc.client.loads(data)
    assert (theirs.value.faultCode, theirs.value.faultString) == (10, "BAD_NAME: <é>")
    with pytest.raises(Fault) as ours:
        codec.loads_response(xmlrpc.client.dumps(xmlrpc.client.Fault(7, "odd")).encode())
    assert (ours.value.code, ours.value.text) == (7, "odd")


def test_a_fault_without_its_members_is_malformed() -> None:
    data = codec.dumps_fault(Fault(1)).replace(b"faultCode", b"code")
    with pytest.raises(MalformedXml, match="faultCode"):
        codec.loads_response(data)


def test_integers_are_capped_to_what_the_wire_can_hold() -> None:
    value = [2**31, -(2**31) - 1, 2**63, 2**31 - 1]
    read = codec.loads_response(codec.dumps_response(value))
    assert read == [2147483647, -2147483648, 2147483647, 2147483647]


@pytest.mark.parametrize("value", [None, [None], {"a": None}, object(), {1: 2}])
def test_what_has_no_type_cannot_be_sent(value: object) -> None:
    with pytest.raises(TypeError):
        codec.dumps_response(value)
    with pytest.raises(TypeError):
        codec.dumps_call("m", [value])


def test_tuples_are_arrays_and_the_librarys_wrappers_are_sent() -> None:
    moment = xmlrpc.client.DateTime("20240229T01:02:03")
    value = (1, ("a",), xmlrpc.client.Binary(b"\0"), moment)
    read = codec.loads_response(codec.dumps_response(value))
    assert read == [1, ["a"], b"\0", MOMENT]


def test_fragments_are_put_in_as_they_are() -> None:
    fixed = codec.dumps_members({"name": "a<b"})
    struct = codec.join_struct(fixed, codec.dumps_members({"now": 7}))
    assert isinstance(struct, Pieces)
    read = codec.loads_response(codec.dumps_response([struct, codec.dumps_value("x")]))
    assert read == [{"name": "a<b", "now": 7}, "x"]
    assert b"".join(struct) == codec.dumps_value({"name": "a<b", "now": 7})
