"""The one error that is meant for the user's eyes, and warnings, which are meant for them too."""

import sys


class BenchError(Exception):
    """Something the user can put right: one sentence that says what, where, and what to do.

    The command line prints it without a traceback and ends with exit code 2. Anything else that
    is raised is a fault of the code that raised it, and keeps its traceback.
    """


class Stopped(BenchError):
    """The same, but after work had begun: exit code 1, and what had finished is kept."""


class WrongGradient(Exception):
    """The training has no gradient where the same network, eager, has one: a fault of this harness.

    Or of torch; in any case of no method. What it ends is no result.
    """


def warn(sentence: str) -> None:
    """What is wrong and does not stop what is being done, to stderr."""
    print(f"warning: {sentence}", file=sys.stderr)
