"""What every test gets."""

from tests.skip_policy import *  # noqa: F403 (the hooks, found by their names)
