"""Convert any text to LaTeX that pdflatex compiles, in plain ASCII.

Every special character is escaped. Greek letters, mathematical symbols, accents and the letters of
Western languages become LaTeX commands; any other character becomes its code, as in [U+1F600].
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
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


def escape(text: str) -> str:
    """The text for LaTeX's text mode; white space becomes single blanks.

    The result is ASCII with balanced braces, and needs no package. Long words can be broken.
    """
    return " ".join(_word(word) for word in text.split())


def number(text: str) -> str:
    """`escape` for a column of numbers: with minus signs, powers of ten and missing values."""
    signed = re.sub(r"(?<![\w.])-(?=\d)", "−", text)
    return re.sub(r"(\d)e([+-]?)0*(\d+)", _power, escape(signed))


def _power(found: re.Match[str]) -> str:
    digit, sign, exponent = found.groups()
    return rf"{digit}$\times 10^{{{sign.replace('+', '')}{exponent}}}$"


def _word(word: str) -> str:
    units = [_character(character) for character in unicodedata.normalize("NFC", word)]
    widths = [len(unit) if unit.startswith("[U+") else 1 for unit in units]
    # LaTeX would join two of these in a row into another character.
    parts = [re.sub(r"([-,'])(?=\1)", r"\1{}", part) for part in _parts(units, widths)]
    return r"\allowbreak ".join(parts)


def _parts(units: Sequence[str], widths: Sequence[int]) -> list[str]:
    """The parts that a word can be broken into: the word itself, if it is short."""
    if sum(widths) <= LONGEST:
        return ["".join(units)]
    parts, room = list[str](), 0
    for unit, width in zip(units, widths, strict=True):
        if width > room:
            parts.append("")
            room = PART
        parts[-1] += unit
        room -= width
    return parts


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
