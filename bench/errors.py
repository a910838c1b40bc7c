"""User-facing errors and warnings."""

import sys


class BenchError(Exception):
    """An error that the user can fix: one sentence that says what, where, and what to do.

    The command line prints it without a traceback and exits with code 2. Any other exception is a bug in the
    code that raised it, and keeps its traceback.
    """


class Stopped(BenchError):
    """An error after work had started: exit code 1; everything finished is kept."""


class WrongGradient(Exception):
    """Training has no gradient where the same network, run eagerly, has one: a bug in the harness or torch.

    It is never the method's fault, so a run that ends with it is no result.
    """


def warn(sentence: str) -> None:
    """Print a problem that does not stop the current work to stderr."""
    print(f"warning: {sentence}", file=sys.stderr)
