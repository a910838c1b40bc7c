"""What tests look at while other processes are at work."""

import time
from pathlib import Path


def alive(pid):
    """Whether a process runs; a zombie does not. On Linux."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(condition, seconds=120):
    """Wait until condition() is true; fail if that takes too long."""
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"not after {seconds} s"
        time.sleep(0.1)
