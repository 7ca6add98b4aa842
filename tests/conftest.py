"""What every test gets."""

import signal

from hypothesis import settings

from tests.skip_policy import *  # noqa: F403 (the hooks, found by their names)

# A shell ignores these for what it runs in the background, and so would all that the tests start.
for number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )

# How long an example takes says more of the machine than of the code.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
