"""SdsuperError and its kinds; each knows how it reads and the exit code it means."""

from __future__ import annotations


class SdsuperError(Exception):
    """Something the person at the keyboard must act on.

    Attributes:
        exit_code: The exit status a command ends with when this error ends it.
    """

    exit_code = 1


class UsageError(SdsuperError):
    """A command line, configuration, privilege, limit or bind error: exit status 2."""

    exit_code = 2
