"""Text as LaTeX: nothing that TeX would act on is left, whatever the text."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.tables.text.latex_text import LONGEST, MATHS, escape, number, printed

HOSTILE = r"""a_b%c$d{e}~^\#&"""
COMMAND = re.compile(r"\\(?:[A-Za-z]+|.)")
UNTAMED = set('#$%&_^~\\{}<>|"`')


def without_commands(latex):
    """What is left when formulas, commands and their empty or single-letter arguments are taken away."""
    for escaped in ("\\\\", r"\$", r"\{", r"\}"):
        latex = latex.replace(escaped, "")
    latex = re.sub(r"\$[^$]*\$|\\penalty\d+ ", "", latex)
    latex = re.sub(r"\\[A-Za-z]+(\{\}| )|\\[#%&_,]", "", latex)
    latex = re.sub(r"""\\[`'^~=u."rHvcd]\{(?:[A-Za-z]|\\[ij])\}""", "", latex)
    return latex.replace("{}", "")


@given(st.text())
def test_nothing_that_tex_acts_on_is_left(text):
    latex = escape(text)
    assert latex.isascii()
    assert set(without_commands(latex)) & UNTAMED == set()


@given(st.text(st.characters(codec="utf-8")))
def test_braces_are_balanced_and_no_line_ends(text):
    depth = 0
    for token in re.findall(r"\\.|[{}]|[^\\{}]+", escape(text), re.S):
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
    assert depth == 0
    assert not set(escape(text)) & set("\n\r\t\f\v")


@given(st.text("abcXYZ019.,;:()+=/@ ", max_size=LONGEST))
def test_plain_text_stays_as_it_is_but_for_white_space(text):
    assert escape(text).replace("{}", "") == " ".join(text.split())


@given(st.text(max_size=12), st.text(max_size=12))
def test_different_texts_stay_different(a, b):
    plain_a, plain_b = (" ".join(unicodedata.normalize("NFKC", t).split()) for t in (a, b))
    if plain_a != plain_b:
        assert escape(a) != escape(b) or quotes(plain_a) == quotes(plain_b)


def quotes(text):
    """Without the signs that LaTeX sets alike."""
    text = "".join({"\u201d": '"', "\u2019": "'", "\u2212": "-", "\u03bc": "µ"}.get(c, c) for c in text)
    return unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        (HOSTILE, r"a\_b\%c\$d\{e\}\textasciitilde{}\textasciicircum{}\textbackslash{}\#\&"),
        ("<script>", "$<$script$>$"),
        ("mpd|agl, κ", r"mpd\textbar{}agl, $\kappa$"),
        ("Δ ± ×", r"$\Delta$ $\pm$ $\times$"),
        ("Α ς σ Ω", r"$\mathrm{A}$ $\varsigma$ $\sigma$ $\Omega$"),
        ("Müller, Łukasz, Çelik", r"M\"{u}ller, \L{}ukasz, \c{C}elik"),
        ("Mu\u0308ller, naïve", r"M\"{u}ller, na\"{\i}ve"),
        ("ﬁne ＡＢ", "fine AB"),
        ("🙂", "[U+1F642]"),
        ("שלום", r"[U+05E9]\penalty90 [U+05DC]\penalty90 [U+05D5]\penalty90 [U+05DD]"),
        ("a\u202eb", "a[U+202E]b"),
        ("\udc80", "[U+DC80]"),
        ("x² w₀", "x$^{2}$ w$_{0}$"),
        ("a--b", "a-{}-b"),
        ("''", "'{}'"),
        ("  two\n lines ", "two lines"),
        ("", ""),
    ],
)
def test_escape(text, latex):
    assert escape(text) == latex


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("-0.19 [-2.40, +2.03]", "$-$0.19 [$-$2.40, +2.03]"),
        ("98.98 ± 0.40", r"98.98 $\pm$ 0.40"),
        ("1.25e-09", r"1.25$\times 10^{-9}$"),
        ("2e+10", r"2$\times 10^{10}$"),
        ("–", r"\textendash{}"),
        ("<0.001", "$<$0.001"),
        ("3, 1 failed", "3, 1 failed"),
    ],
)
def test_number(text, latex):
    assert number(text) == latex


BREAK = re.compile(r"\\penalty\d+ ")


def test_a_long_word_may_be_broken_and_loses_nothing():
    word = "x_" * 100
    latex = escape(word)
    assert BREAK.sub("", latex) == r"x\_" * 100
    assert max(len(part) for part in BREAK.split(latex)) <= LONGEST
    assert not BREAK.search(escape("a" * LONGEST))


def test_a_long_word_is_rather_broken_behind_a_sign():
    latex = escape("backbone.width=0.0625,bottleneckchannels=4")
    assert r"backbone.\penalty50 width=\penalty50 0.\penalty50 0625,\penalty50 bottlene\penalty90 ck" in latex
    assert escape("width=0.5", 6) == r"width=\penalty50 0.\penalty50 5"


def test_what_is_printed_has_the_codes_of_unknown_characters():
    assert printed("a_b  κ\n🙂") == "a_b κ [U+1F642]"


def test_every_sign_of_mathematics_is_told_apart():
    twins = {"·", "µ", "−"}
    assert len({v for k, v in MATHS.items() if k not in twins}) == len(MATHS.keys() - twins)


def test_a_number_and_its_percent_sign_are_not_parted():
    assert escape("a 95 % interval, 100 %.") == r"a 95\,\% interval, 100\,\%."
    assert escape("share % of") == r"share \% of"
    # A possible break in a long word ends with a digit too.
    assert r"\penalty90 \%" in escape("a" * 8 + "%" * 30)
