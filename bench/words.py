"""Formatting numbers and names in sentences."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """For messages: "no file", "1 file", "2 files"."""
    return f"{f'{number:,}' if number else 'no'} {thing}{'s' * (number > 1)}"
