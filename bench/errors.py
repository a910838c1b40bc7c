"""What users are told: errors, warnings, and how numbers, names and texts of others appear in them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|PASSPHRASE|CREDENTIAL|AUTH|COOKIE|PRIVATE", re.IGNORECASE)
"""Names of environment variables whose values are not for others."""
SHORTEST_SECRET = 6
"""Shorter values are left alone: they would be found in the middle of ordinary words."""
LOGIN = re.compile(r"(?<=://)[^\s/@]+:[^\s/@]+(?=@)")
IN_TRACEBACK = re.compile(r'(?<=^  File ")/[^"]+(?=")', re.MULTILINE)
"""The path of a file in a traceback."""


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


def counted(number: int, thing: str) -> str:
    """For messages: "no file", "1 file", "2 files"."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'s' * (number > 1)}"


def listed(things: Iterable[object], most: int) -> str:
    """For messages: "a, b and 3 more"."""
    names = [str(thing) for thing in things]
    return ", ".join(names[:most]) + f" and {len(names) - most:,} more" * (len(names) > most)


def ranges(numbers: Iterable[int]) -> str:
    """For messages: "0–4, 7, 8" for 0, 1, 2, 3, 4, 7 and 8. Sorted; three or more in a row become a range."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return ", ".join(parts)


def printable(text: str) -> str:
    """The text of an error or of another program, for a file that others may read.

    Secrets of the environment and logins in addresses are masked. Paths in tracebacks are made relative to
    the folder of `sys.path` that the file was imported from; of other files only the name is left. Lone
    surrogates, as in odd file names, are escaped, since they cannot be written.
    """
    for name, value in os.environ.items():
        if len(value) >= SHORTEST_SECRET and SECRET.search(name):
            text = text.replace(value, f"<{name}>")
    text = IN_TRACEBACK.sub(lambda found: _imported_as(Path(found.group())), text)
    return LOGIN.sub("<login>", text).encode(errors="backslashreplace").decode()


def _imported_as(file: Path) -> str:
    above = [folder for folder in map(Path, filter(None, sys.path)) if file.is_relative_to(folder)]
    nearest = max(above, key=lambda folder: len(folder.parts), default=file.parent)
    return file.relative_to(nearest).as_posix()
