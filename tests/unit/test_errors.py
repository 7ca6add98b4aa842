"""What is told of an exception."""

from __future__ import annotations

import subprocess
import sys
import traceback
from unittest.mock import patch

from sdsuper.errors import traceback_text


def test_an_exception_is_told_with_where_it_came_from() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        handled, given = traceback_text(), traceback_text(error)
        expected = traceback.format_exc()
    assert handled == given == expected
    assert "in test_an_exception" in expected


def test_without_what_it_takes_the_exception_alone_is_told() -> None:
    with patch.dict(sys.modules, traceback=None):
        assert traceback_text(OSError(24, "Too many open files")) == (
            "OSError: [Errno 24] Too many open files\n"
        )


def test_what_it_takes_is_imported_when_it_is_needed() -> None:
    code = """if True:
        import sys
        from sdsuper.errors import traceback_text
        assert "traceback" not in sys.modules
        traceback_text(ValueError())
        assert "traceback" in sys.modules
    """
    subprocess.run([sys.executable, "-I", "-c", code], check=True)
