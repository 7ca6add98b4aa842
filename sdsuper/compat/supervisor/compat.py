"""What code for Python 2 and 3 imported from one place."""

from __future__ import annotations

import configparser as ConfigParser  # noqa: N812 - Supervisor's name
import http.client as httplib
import sys
import xmlrpc.client as xmlrpclib
from io import StringIO
from urllib import parse as urllib
from urllib import parse as urlparse
from xmlrpc.client import Fault

__all__ = [
    "PY2",
    "ConfigParser",
    "Fault",
    "StringIO",
    "as_bytes",
    "as_string",
    "basestring",
    "httplib",
    "long",
    "maxint",
    "raw_input",
    "unichr",
    "unicode",
    "urllib",
    "urlparse",
    "xmlrpclib",
]

PY2 = False
basestring = unicode = str
long = int
maxint = sys.maxsize
raw_input = input
unichr = chr


def as_bytes(text: str | bytes, encoding: str = "utf-8") -> bytes:
    """Return bytes, encoding text."""
    return text if isinstance(text, bytes) else text.encode(encoding)


def as_string(text: str | bytes, encoding: str = "utf-8") -> str:
    """Return text, decoding bytes."""
    return text if isinstance(text, str) else text.decode(encoding)
