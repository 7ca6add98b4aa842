"""What every test gets."""

import signal

from tests.skip_policy import *  # noqa: F403 (the hooks, found by their names)

# A shell ignores these for what it runs in the background, and so would all that the tests start.
for number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(
            number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        )
