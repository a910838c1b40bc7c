"""Convert any text to LaTeX that pdflatex compiles, in plain ASCII.

Every special character is escaped. Greek letters, mathematical symbols, accents and the letters of
Western languages become LaTeX commands; any other character becomes its code, as in [U+1F600].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from string import ascii_letters, ascii_lowercase

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": r"\textbar{}",
    '"': r"\textquotedblright{}",
    "`": r"\textasciigrave{}",
}
GREEK = (
    *("alpha", "beta", "gamma", "delta", "varepsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"),
    *("mu", "nu", "xi", "o", "pi", "rho", "varsigma", "sigma", "tau", "upsilon", "varphi", "chi", "psi"),
    "omega",
)
CAPITALS = (
    *("A", "B", "Gamma", "Delta", "E", "Z", "H", "Theta", "I", "K", "Lambda", "M", "N", "Xi", "O", "Pi", "P"),
    # The lower-case final sigma has no capital.
    *("", "Sigma", "T", "Upsilon", "Phi", "X", "Psi", "Omega"),
)
MATHS = {
    **{chr(0x3B1 + i): name if name == "o" else f"\\{name}" for i, name in enumerate(GREEK)},
    **{chr(0x391 + i): rf"\mathrm{{{n}}}" if n[1:] == "" else f"\\{n}" for i, n in enumerate(CAPITALS) if n},
    **{"µ": r"\mu", "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "−": "-", "√": r"\surd"},
    **{"≤": r"\leq", "≥": r"\geq", "≠": r"\neq", "≈": r"\approx", "∞": r"\infty", "∂": r"\partial"},
    **{"→": r"\rightarrow", "←": r"\leftarrow", "∑": r"\sum", "∈": r"\in", "°": r"^{\circ}"},
    **{sign: f"^{{{digit}}}" for digit, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{sign: f"_{{{digit}}}" for digit, sign in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}
LETTERS = {
    **{"ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}"},
    **{"Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}"},
    **{"–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "§": r"\S{}"},
    **{"‘": r"\textquoteleft{}", "’": r"\textquoteright{}"},
    **{"“": r"\textquotedblleft{}", "”": r"\textquotedblright{}"},
}
ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0327\u0323",
        "`'^~=u.\"rHvcd",
        strict=True,
    )
)
"""Combining character to LaTeX command."""
LONGEST = 24
"""A word of more characters can be broken."""
PART = 8
"""The most characters between two possible breaks; a single longer [U+...] code stays whole."""
SIGNS = "-=./:,;_|+)"
"""A long word is rather broken behind one of these."""
BREAKS = {True: r"\penalty50 ", False: r"\penalty90 "}
"""A possible break, behind such a sign or elsewhere: worse than a blank, and better than an overfull line."""


def escape(text: str, longest: int = LONGEST) -> str:
    """The text for LaTeX's text mode; white space becomes single blanks.

    The result is ASCII with balanced braces, and needs no package. Words of more characters than `longest`
    can be broken; a number and its percent sign cannot, with a thin space between them.
    """
    words = text.split()
    unbroken = [word[0] == "%" and before[-1].isdigit() for before, word in pairwise(words)]
    joints = ["", *(r"\," if kept else " " for kept in unbroken)]
    return "".join(joint + _word(word, longest) for joint, word in zip(joints, words, strict=False))


def printed(text: str) -> str:
    """The characters that stand on the page: those of `escape(text)`, with codes spelled out."""
    return " ".join("".join(map(_printed, unicodedata.normalize("NFC", word))) for word in text.split())


def _printed(character: str) -> str:
    code = _character(character)
    return code if code.startswith("[U+") else character


def number(text: str) -> str:
    """`escape` for a column of numbers: with minus signs, powers of ten and missing values."""
    signed = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    return re.sub(r"(\d)e([+-]?)0*(\d+)", _power, escape(signed))


def _power(found: re.Match[str]) -> str:
    digit, sign, exponent = found.groups()
    return rf"{digit}$\times 10^{{{sign.replace('+', '')}{exponent}}}$"


def _word(word: str, longest: int) -> str:
    characters = unicodedata.normalize("NFC", word)
    units = [_character(character) for character in characters]
    widths = [len(unit) if unit.startswith("[U+") else 1 for unit in units]
    if sum(widths) <= longest:
        return _unjoined(units)
    found, first, room = "", 0, PART
    for i, width in enumerate(widths):
        behind = i > 0 and characters[i - 1] in SIGNS and characters[i] not in SIGNS
        # A sign stays with the letters before it.
        if i > first and (behind or width > room + (characters[i] in SIGNS)):
            found += _unjoined(units[first:i]) + BREAKS[behind]
            first, room = i, PART
        room -= width
    return found + _unjoined(units[first:])


def _unjoined(units: Sequence[str]) -> str:
    # LaTeX would join two of these in a row into another character.
    return re.sub(r"([-,'])(?=\1)", r"\1{}", "".join(units))


def _character(character: str) -> str:
    if character in SPECIAL:
        return SPECIAL[character]
    if " " < character <= "~":
        return character
    if character in MATHS:
        return f"${MATHS[character]}$"
    if character in LETTERS:
        return LETTERS[character]
    base, accents = unicodedata.normalize("NFD", character)[:1], unicodedata.normalize("NFD", character)[1:]
    if base in ascii_letters and accents in ACCENTS:
        return rf"\{ACCENTS[accents]}{{{_dotless(base, accents)}}}"
    plain = unicodedata.normalize("NFKC", character)
    if plain and all(" " < part <= "~" for part in plain):
        return "".join(map(_character, plain))
    return f"[U+{ord(character):04X}]"


def _dotless(base: str, accent: str) -> str:
    """An i or a j loses its dot to an accent above it."""
    above = ACCENTS[accent] not in "cd"
    return rf"\{base}" if above and base in "ij" and base in ascii_lowercase else base
