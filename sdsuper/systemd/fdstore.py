"""systemd's store of file descriptors, sd_pid_notify_with_fds(3): the messages.

What is stored comes back as `Passed` when the service is started again, and is forgotten when it
is stopped. `FDPOLL=0` keeps systemd from watching a descriptor, and from dropping it at an event.
"""

from __future__ import annotations


def store(name: str) -> str:
    """Return the message that stores the descriptor it comes with."""
    return f"FDSTORE=1\nFDNAME={name}\nFDPOLL=0"


def remove(name: str) -> str:
    """Return the message that removes all descriptors of a name."""
    return f"FDSTOREREMOVE=1\nFDNAME={name}"
