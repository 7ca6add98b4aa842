"""Become another user: supplementary groups, group, then user, for good."""

from __future__ import annotations

import os
import pwd

from sdsuper.config.model import Account
from sdsuper.errors import UsageError

CANNOT_DROP = "Can't drop privilege as nonroot user"


class IdentityError(UsageError):
    """Why an identity could not be taken, in Supervisor's words."""


def take_identity(account: Account) -> None:
    """Change groups, group and user of this process.

    Raises:
        IdentityError: It cannot be done; part of it may have been.
    """
    if os.geteuid() != 0:
        raise IdentityError(CANNOT_DROP)
    try:
        entry = pwd.getpwuid(account.uid)
    except KeyError:
        raise IdentityError(f"Can't find uid {account.uid!r}") from None
    # getgrouplist(3) rather than a walk of the group database: directory services answer it.
    try:
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
    except OSError:
        raise IdentityError("Could not set groups of effective user") from None
    try:
        os.setgid(entry.pw_gid)
    except OSError:
        raise IdentityError("Could not set group id of effective user") from None
    os.setuid(account.uid)
