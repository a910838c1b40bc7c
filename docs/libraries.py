"""Writes docs/libraries.csv and docs/libraries.md: `tox run -e libraries`, or `python docs/libraries.py`.

The numbers are measured for each library that is installed; the rows of others stay as they are. The page
is made from the file, so it has rows of libraries that are not installed. What a function promises, and
since when it behaves so, is written down here: it comes from the library's documentation and history.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cli.render import conversion_texts
from bench.files import write_atomic
from bench.measures.conversions import conversions
from bench.measures.library_functions import DTYPES, Measured, measure
from bench.registry import Registry, load, missing_packages
from bench.shapes import FAST_SIGMOID_FWHM, GAUSSIAN_FWHM, SIGMOID_FWHM

DOCS = Path(__file__).resolve().parent
PAGE, KEPT = DOCS / "libraries.md", DOCS / "libraries.csv"
LIBRARIES = {"snntorch": "snntorch", "norse": "norse", "spikingjelly": "SpikingJelly"}
"""Names in the registry, and as their authors write them."""
FORGE = {
    "snntorch": "jeshraghian/snntorch",
    "norse": "norse/norse",
    "spikingjelly": "fangwei123456/spikingjelly",
    "sinabs": "synsense/sinabs",
}
NAMES = [str(dtype).removeprefix("torch.") for dtype in DTYPES]


def thread(library: str, number: int) -> str:
    """A link to an issue or a pull request."""
    return f"[{library}#{number}](https://github.com/{FORGE[library]}/issues/{number})"


def commit(library: str, digits: str) -> str:
    """A link to a commit."""
    return f"[`{digits}`](https://github.com/{FORGE[library]}/commit/{digits})"


@dataclass(frozen=True)
class Known:
    """What is known of a function beside its measurements.

    promise: what its name or its documentation says that it is. since: from which version on it behaves as
        measured. wrong: for one that misleads, in one sentence, with fields of the kept file in braces.
    instead: the method here to take then, with its parameters. equal: whether that is what was promised.
    more: what there is to say of it.
    """

    promise: str
    since: str
    wrong: str = ""
    instead: tuple[str, Mapping[str, float]] | None = None
    equal: bool = True
    more: str = ""


# In the order of the page: what costs most comes first.
KNOWN = {
    "norse/superspike": Known(
        "1/(1 + alpha |x|)^2, alpha = 100",
        f"1.1.0 ({commit('norse', '22a17ec2')}); up to 1.0.0 it used alpha. "
        f"Mended in {thread('norse', 403)}, after 1.1.0",
        "alpha is ignored: it computes 1/(1 + |x|)^2 whatever alpha is, so that at alpha = 100 it is 100 "
        "times as wide as promised, with an area of {area} where 0.02 was promised.",
        ("fast-sigmoid", {"width": FAST_SIGMOID_FWHM / 100, "height": 1.0}),
        more="for another alpha, width = 0.8284/alpha",
    ),
    "snntorch/SFS": Known(
        "1/(1 + k|x|)^2 near the threshold and 0 elsewhere, k = 25 (Perez-Nieves & Goodman 2021)",
        f"0.3.0 ({commit('snntorch', '9d82da22')})",
        "The wrong part is cut off: the gradient is 0 up to x = B = 1, the threshold included, and at most "
        "0.0015 above it: hardly any gradient gets through.",
        ("fast-sigmoid", {"width": FAST_SIGMOID_FWHM / 25, "height": 1.0}),
        more="not cut off, but below 0.0015 from |x| = 1 on",
        equal=False,
    ),
    "snntorch/triangular": Known(
        "a triangle with slopes of 1 below and -1 above the threshold: max(0, 1 - |x|)",
        f"0.6.0 ({thread('snntorch', 143)}); 0.5.0 to 0.5.3 raise RuntimeError",
        "It is the slope of a triangle and not the triangle: h is 1 below the threshold and -1 from there "
        "on, so that neurons that spike get a gradient of the wrong sign.",
        ("triangle", {"width": 1.0, "height": 1.0}),
    ),
    "snntorch/sigmoid": Known(
        "k e^(-kx) / (1 + e^(-kx))^2, k = 25",
        f"0.2.10 ({thread('snntorch', 427)}). Mended in {thread('snntorch', 433)}, after 1.0.0",
        "It overflows: {not_finite_float32} in float32, {not_finite_float16} in float16; one NaN reaches "
        "every weight.",
        ("sigmoid", {"width": SIGMOID_FWHM / 25}),
    ),
    "snntorch/LSO": Known(
        "1 where x > 0, else 0.1",
        f"0.8.0 ({commit('snntorch', '98d40999')}, {thread('snntorch', 347)}, {thread('snntorch', 430)}); "
        f"0.3.0 to 0.7.0 computed the noise of SSO. Mended in {thread('snntorch', 418)}, after 1.0.0",
        "Every call raises {problem}: it calls the function of SSO, with an argument too few.",
        more="none here has this shape; SpikingJelly's `LeakyKReLU(leak=0.1)` has it",
    ),
    "snntorch/spike_rate_escape": Known(
        "k e^(-b|u - 1|) of the potential u at a threshold of 1: a peak at the threshold",
        f"0.8.0 ({commit('snntorch', '98d40999')}); 0.2.10 to 0.7.0 were 25 times as narrow, around the same "
        "wrong place",
        "It peaks one unit above the threshold, since it is given x = u - threshold and subtracts 1 once "
        "more: h(0) = {height}, h(1) = 25, and the area is {area}.",
        ("laplace", {"width": 2 * math.log(2), "height": 25.0}),
        more="without `height` the area is 1",
    ),
    "norse/triangle": Known(
        "0.3 max(0, 1 - |x|) (Bellec et al. 2020)",
        f"0.0.7 ({thread('norse', 232)}); as the method `tent` since 0.0.3",
        "alpha is the height, and norse's neurons pass 100: the area is {area}, where `triangle_fn` by "
        "itself has 0.3.",
        ("triangle", {"width": 1.0, "height": 0.3}),
        more="without `height` the area is 1",
    ),
    "norse/circ": Known(
        "the derivative of 1/2 + x / (2 sqrt(x^2 + a^2)), a = 100: an area of 1",
        "0.0.3",
        "It is 2a times the derivative of the documented function, and a is its width: at the default of "
        "100, h is 1 for every potential that occurs, and the area is {area}.",
        ("arctan", {}),
        equal=False,
        more="none here has this shape; at a = 100 it is `straight-through(height=1)`",
    ),
    "norse/tanh": Known(
        "the derivative of 1/2 + tanh(kx)/2, k = 100: an area of 1",
        "0.0.3",
        "The factor k/2 is missing: h(0) is {height} and not 50, and the area is {area} and not 1.",
        ("sigmoid", {"width": SIGMOID_FWHM / 200}),
        more="for another k, width = 1.763/k",
    ),
    "norse/heavi_erfc": Known(
        "the derivative of 1/2 + erf(kx)/2 (documented as erfc, which falls), k = 100: an area of 1",
        "0.0.3",
        "The factor k/2 is missing: h(0) is {height} whatever k is, and the area is {area} and not 1.",
        ("gaussian", {"width": GAUSSIAN_FWHM / (100 * math.sqrt(2))}),
        more="for another k, width = 1.665/k",
    ),
    "norse/circ_dist": Known(
        "random spikes, with probability 1/2 + x / (2 sqrt(x^2 + a^2)), a = 100",
        "0.0.3",
        "At a = 100 a spike hardly depends on x (its probability is 0.505 at x = 1), in evaluation too; and "
        "the gradient is that of norse/circ.",
        ("arctan", {}),
        equal=False,
        more="its spikes are not random",
    ),
    "norse/logistic": Known(
        "random spikes, with probability 1/2 + tanh(kx)/2, and the derivative of that, k = 100",
        "0.0.3",
        "The gradient lacks the factor k/2 (area {area} and not 1), and spikes are random in evaluation too.",
        ("sigmoid", {"width": SIGMOID_FWHM / 200}),
        more="its spikes are not random",
    ),
    "norse/heaviside": Known(
        "a step, in a list of surrogates",
        "0.0.3",
        "It has no gradient at all: no layer before it learns.",
        ("arctan", {}),
        equal=False,
    ),
    "spikingjelly/SuperSpike": Known(
        "1/(1 + b|x|)^2 (Zenke & Ganguli 2018), `alpha` said to control the smoothness",
        f"2.0.0 ({commit('spikingjelly', '33b051a5')}, {thread('spikingjelly', 504)})",
        "alpha is the height and not the smoothness: the width is always {fwhm}, and the area is 2 alpha.",
        ("fast-sigmoid", {"width": FAST_SIGMOID_FWHM, "height": 1.0}),
        more="for another b, width = 0.8284/b",
    ),
    "spikingjelly/SquarewaveFourierSeries": Known(
        "n = 2 terms of the Fourier series of a step that repeats every T = 8",
        f"0.0.0.0.12 or earlier ({commit('spikingjelly', '90d1c236')})",
        "The sum ends at n - 1, so that at n = 2 it has one term: h is a cosine of period 8, and negative "
        "for 2 < |x| < 6.",
        ("gaussian", {"width": 8 / 3}),
        equal=False,
        more="as wide, with an area of 1, and nowhere negative",
    ),
    "spikingjelly/FakeNumericalGradient": Known(
        "sign(x)/x, at most 0.3",
        "0.0.0.0.14 or earlier",
        "At x = -0.0 the gradient is -inf, and it falls as 1/|x|, so that it has no finite area.",
        ("arctan", {}),
        equal=False,
        more="none here has this shape",
    ),
    "spikingjelly/PoissonPass": Known(
        "random spikes with a gradient of 1",
        f"2.0.0 ({commit('spikingjelly', '4b1fcd74')})",
        "x is taken for the probability of a spike: x below 0 or above 1 raises {problem}, so that no "
        "neuron can use it.",
        ("straight-through", {"height": 1.0}),
        equal=False,
        more="the same gradient, and spikes at the threshold",
    ),
    "snntorch/atan": Known(
        "(1/pi) / (1 + (pi a x / 2)^2), a = 2, as documented",
        f"0.5.2 ({thread('snntorch', 111)})",
        "Only its documentation is wrong, by a factor of pi: what is computed has h(0) = {height} and an "
        "area of {area}, as the paper has it.",
        ("arctan", {"width": 2 / math.pi}),
        equal=False,
        more="what is computed",
    ),
    # What does as it says.
    "snntorch/fast_sigmoid": Known("1/(1 + k|x|)^2, k = 25", "0.2.10"),
    "snntorch/heaviside": Known(
        "1 where the neuron spikes, else 0",
        f"0.9.4; 0.6.0 to 0.9.1 raise AttributeError (mended in {commit('snntorch', 'aa68cee6')})",
    ),
    "snntorch/SSO": Known("1 where x > 0, else noise in [-0.1, 0.1)", "0.3.0"),
    "snntorch/straight_through_estimator": Known("1", "0.5.0"),
    "spikingjelly/PiecewiseQuadratic": Known("max(0, a - a^2 |x|), a = 1", "0.0.0.0.12 or earlier"),
    "spikingjelly/PiecewiseExp": Known("(a/2) e^(-a|x|), a = 1", "0.0.0.0.12 or earlier"),
    "spikingjelly/Sigmoid": Known("the derivative of 1/(1 + e^(-ax)), a = 4", "0.0.0.0.12 or earlier"),
    "spikingjelly/SoftSign": Known("(a/2) / (1 + a|x|)^2, a = 2", "0.0.0.0.12 or earlier"),
    "spikingjelly/ATan": Known("(a/2) / (1 + (pi a x / 2)^2), a = 2", "0.0.0.0.12 or earlier"),
    "spikingjelly/NonzeroSignLogAbs": Known(
        "1 / (1/a + |x|), a = 1", "0.0.0.0.12 or earlier; 0.0.0.0.14 raises RuntimeError with torch 2.14"
    ),
    "spikingjelly/Erf": Known("a e^(-(ax)^2) / sqrt(pi), a = 2", "0.0.0.0.12 or earlier"),
    "spikingjelly/PiecewiseLeakyReLU": Known(
        "1/(2w) where |x| <= w, else c; w = 1, c = 0.01",
        f"2.0.0; up to 0.0.0.0.14 it was 1/w, twice as high ({thread('spikingjelly', 412)}, "
        f"{commit('spikingjelly', '515fa049')})",
    ),
    "spikingjelly/S2NN": Known(
        "the derivative of 1/(1 + e^(-ax)) where x < 0, else b/(x + 1); a = 4, b = 1", "0.0.0.0.12 or earlier"
    ),
    "spikingjelly/QPseudoSpike": Known("(1 + 2|x|/(a - 1))^(-a), a = 2", "0.0.0.0.12 or earlier"),
    "spikingjelly/LeakyKReLU": Known("k where x >= 0, else leak; k = 1, leak = 0", "0.0.0.0.14 or earlier"),
    "spikingjelly/LogTailedReLU": Known(
        "a where x <= 0, 1 up to x = 1, then 1/x; a = 0", "0.0.0.0.14 or earlier"
    ),
    "spikingjelly/DeterministicPass": Known("1", f"2.0.0 ({commit('spikingjelly', '4b1fcd74')})"),
    "spikingjelly/Rect": Known(
        "a where |x| < 1/(2a), else 0; a = 1", f"2.0.0 ({commit('spikingjelly', '4b1fcd74')})"
    ),
}
INTRODUCTION = """# Libraries as shipped

What the surrogate functions of {versions} compute at their defaults, measured, beside what they promise.
The ones that mislead come first, each with what to use instead.

x is the potential minus the threshold, and h(x) the gradient that autograd delivers there. A good surrogate
has its peak at x = 0. Its **area**, the integral of h, should be near 1: any other area scales the gradient
again at every layer. Its **width**, the full width at half maximum, is in units of the potential;
[Choosing](choosing.md) says which width to take.
"""
MISLEAD = """## Functions that mislead

`NAME(width=..., height=...)` is a method of this project. Take it as
`bench.spike_grad("NAME", timesteps=T, width=...)` in a layer of snntorch, as `bench.surrogate_function` in
one of SpikingJelly, or as `bench.neuron` in your own network: [Methods in your own loop](your-own-loop.md).
Where only a name is given, set `width` to what fits your network, such as the threshold.
"""
WHOLE = f"""## What holds for a whole library

- **snntorch**: a neuron whose potential equals the threshold does not spike, although the documentation has
  a spike there (U ≥ U_thr). Spikes are float32 whatever goes in: networks in another dtype become a mixture,
  and recurrent ones in float64 raise RuntimeError ({thread("snntorch", 421)}, {thread("snntorch", 422)};
  mended in {thread("snntorch", 432)}, after 1.0.0). Both since 0.2.10. Up to 2023 the documentation named
  Heaviside as the surrogate of neurons where it is ATan ({thread("snntorch", 195)},
  {thread("snntorch", 239)}).
- **norse**: no spike at the threshold either, as documented. `alpha`, 100 unless set, means sharpness,
  height, width or nothing, depending on the function, so a value does not carry over from one to another.
- **SpikingJelly**: a spike at the threshold, as documented, and the dtype of the input is kept.

Reported by others, and not measured here: some neurons of norse ignore the surrogate that is asked for
({thread("norse", 306)}, open); with `backend="triton"`, some surrogates of SpikingJelly had a gradient of 0
or raised an error before 2.0.0 ({thread("spikingjelly", 660)}); sinabs' periodic exponential was right at a
threshold of 1 only ({thread("sinabs", 97)}, closed).
"""
FUNCTIONS = """## All functions

The first table of each library says what a function promises and computes, and which method here computes
the same. The second one holds the measurements, which [libraries.csv](libraries.csv) has too:

- **h(0)**, **width**, **area**: as above, computed in float64; – where there is no finite number.
- **H(0)**: 1 if there is a spike exactly at the threshold.
- **symmetric**: whether h(-x) = h(x). **random**: what differs from call to call.
- **spikes**: whether they have the dtype of the input, for float16, bfloat16, float32 and float64.
- **not finite**: for which finite x h is NaN or infinite, if the gradient that arrives is 1.
- **h(±inf)**: h at minus and at plus infinity, in float32.

*Since* names the first version that behaves so, as far as the library's releases and history tell; "or
earlier" means that no older one was tried.
"""


def measured(registry: Registry, library: str = "") -> dict[str, dict[str, str]]:
    """The rows of the kept file, by function, for libraries that are installed; or for one of them."""
    differences = {row["theirs"]: conversion_texts(row)[3] for row in conversions(registry)}
    return {
        name: _row(name, measure(entry.item), differences[name])
        for name, entry in registry.methods.items()
        if entry.item.kind == "library"
        and entry.shipped
        and not missing_packages(entry.item)
        and name.startswith(f"{library}/" if library else "")
    }


def _row(name: str, of: Measured, difference: str) -> dict[str, str]:
    numbers = {n: _number(getattr(of, n)) for n in ("height", "fwhm", "area")}
    return {
        "function": name,
        "version": of.version,
        **numbers,
        "at_threshold": of.at_threshold,
        "symmetric": {True: "yes", False: "no", None: ""}[of.symmetric],
        "random": of.random,
        **{f"spikes_{n}": of.dtypes.get(n, "") for n in NAMES},
        **{f"not_finite_{n}": of.not_finite.get(n, "") for n in NAMES},
        "at_infinity": of.at_infinity,
        "difference": difference,
        "problem": of.problem,
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def kept() -> dict[str, dict[str, str]]:
    """The rows of the file, by function; none if there is no file."""
    if not KEPT.exists():
        return {}
    with KEPT.open(encoding="utf-8", newline="") as file:
        return {row["function"]: row for row in csv.DictReader(file)}


def text(rows: Mapping[str, Mapping[str, str]], registry: Registry) -> str:
    """The page."""
    versions = {library: _version(rows, library) for library in LIBRARIES}
    said = [f"{shown} {versions[library]}" for library, shown in LIBRARIES.items()]
    parts = [
        INTRODUCTION.format(versions=f"{', '.join(said[:-1])} and {said[-1]}"),
        MISLEAD,
        "".join(
            f"- **{name}** promises {known.promise}. {known.wrong.format_map(rows[name])}\n"
            f"    - Use instead: {_instead(known)}.\n"
            f"    - Since: {known.since}.\n"
            for name, known in KNOWN.items()
            if known.wrong
        ),
        WHOLE,
        FUNCTIONS,
    ]
    for library, shown in LIBRARIES.items():
        of = {name: row for name, row in rows.items() if name.startswith(f"{library}/")}
        parts += [
            f"### {shown} {versions[library]}\n",
            _table(
                ("function", "promises", "computes", "the same here", "since"),
                (
                    (
                        f"`{name.split('/')[1]}`",
                        KNOWN[name].promise,
                        registry.methods[name].item.formula.rstrip("."),
                        _twin(registry, name),
                        "[above](#functions-that-mislead)" if KNOWN[name].wrong else KNOWN[name].since,
                    )
                    for name in of
                ),
            ),
            _table(
                (
                    "function",
                    "h(0)",
                    "width",
                    "area",
                    "H(0)",
                    "symmetric",
                    "random",
                    "spikes",
                    "not finite",
                    "h(±inf)",
                ),
                (_measurements(name, row) for name, row in of.items()),
            ),
        ]
    return "\n".join(parts)


def _version(rows: Mapping[str, Mapping[str, str]], library: str) -> str:
    """The one version that all rows of a library were measured in."""
    (version,) = {row["version"] for name, row in rows.items() if name.startswith(f"{library}/")}
    return version


def _call(method: str, params: Mapping[str, float]) -> str:
    shown = ", ".join(f"{name}={value:.4g}" for name, value in params.items())
    return f"`{method}({shown})`" if shown else f"`{method}`"


def _instead(known: Known) -> str:
    return ": ".join(filter(None, (_call(*known.instead) if known.instead else "", known.more)))


def _twin(registry: Registry, name: str) -> str:
    twin = registry.methods[name].item.twin
    return _call(twin.method, twin.params) if twin.method else f"none: {twin.why}"


def _measurements(name: str, row: Mapping[str, str]) -> tuple[str, ...]:
    function = f"`{name.split('/')[1]}`"
    if row["problem"]:
        return (function, *("–",) * 7, f"raises {row['problem']}", "–")
    dtypes = {row[f"spikes_{n}"] for n in NAMES}
    by_text: dict[str, list[str]] = {}
    for n in NAMES:
        if found := row[f"not_finite_{n}"]:
            by_text.setdefault(found, []).append(n)
    everywhere = [
        text if len(names) == len(NAMES) else f"{', '.join(names)}: {text}" for text, names in by_text.items()
    ]
    return (
        function,
        *(row[n] or "–" for n in ("height", "fwhm", "area")),
        {"0": "0", "1": "1"}.get(row["at_threshold"], "random"),
        row["symmetric"] or "–",
        row["random"] or "no",
        "as input" if len(dtypes) == len(NAMES) else f"always {' or '.join(sorted(dtypes))}",
        "; ".join(everywhere) or "nowhere",
        row["at_infinity"],
    )


def _table(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    cells = [[cell.replace("|", "\\|").replace("*", "\\*") for cell in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, ["---"] * len(heads), *cells))


def main() -> None:
    """Write both files."""
    registry = load()
    found: dict[str, Any] = {**kept(), **measured(registry)}
    rows = {name: found[name] for name in registry.methods if name in found}
    made = io.StringIO()
    writer = csv.DictWriter(made, [*next(iter(rows.values()))], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    write_atomic(KEPT, made.getvalue().encode())
    write_atomic(PAGE, text(rows, registry).encode())


if __name__ == "__main__":
    main()
