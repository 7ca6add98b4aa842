#!/usr/bin/env python3
"""Work for a while, and say so; end cleanly on SIGTERM."""

import signal
import sys
import time


def stop(signum: int, frame: object) -> None:
    """Leave at the next bytecode, as a well-behaved worker does."""
    print(f"worker {sys.argv[1]} ends on {signal.Signals(signum).name}")
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
print(f"worker {sys.argv[1]} waits for work")
while True:
    time.sleep(5)
    print(f"worker {sys.argv[1]} has done a piece of work")
