"""What the code of a plugin says: the same however it is written, another where another thing is said."""

import ast
import subprocess
from pathlib import Path
from shutil import which
from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bench
from bench import registry
from bench.records import code_identity

ROOT = Path(bench.__file__).parents[1]
SHIPPED = sorted(
    file
    for folder in ("methods", "datasets", "bench/backbones")
    for file in (ROOT / folder).glob("*.py")
    if not file.name.startswith("_")
)
SAMPLE = '''
from __future__ import annotations
"""A docstring."""
import os, sys as system
from bench.shapes import (rectangle as box, triangle)
from dataclasses import dataclass, field

LIMIT: float = -1.5e-3
TEXT = "a" 'b' f"{LIMIT!r:>{8}} and {LIMIT + 1:.2f} {{}}" u"ü\\u2028"
NUMBERS = (1, 1.0, True, None, 2j, b"x", ..., 10**400, *[0])

@method("bump", paper=f"see {TEXT}", note="a note", width=Param(1.0))
def bump(x, /, width, *rest, height=None, **more):
    """h(x) = 1."""
    # a comment
    match x:
        case {"a": [1, *_], **others} if others: return lambda y=1: y
        case [int() | None as z]: pass
    try:
        with open(x) as f, open(f) as g: yield from (i async for i in g)
    except* ValueError as error:
        raise error from None
    return x[..., ::2] if (y := x) else {**more, 'k': {*rest}}

class Shape(Base, metaclass=Meta):
    "h(x)."
    values: list[int] = field(default_factory=list)
    async def run(self): await self; del self.x; global LIMIT; LIMIT += 1; assert self, "no"
'''
EXPECTED = "61461c554b6bf1e9"


@pytest.fixture
def identity(tmp_path):
    """identity(text, names, helper=text of helper.py, ...) -> that of a file of this text."""

    def of(text, *names, **beside):
        for name, content in beside.items():
            file = tmp_path / f"{name.replace('___', '/')}.py"
            file.parent.mkdir(exist_ok=True)
            file.write_text(dedent(content))
        file = tmp_path / "plugin.py"
        file.write_text(dedent(text))
        return code_identity.read(file).identity(names)

    return of


def test_it_is_the_same_in_every_version_of_python(identity):
    assert identity(SAMPLE) == EXPECTED


@pytest.mark.parametrize("minor", [12, 13, 14])
def test_other_pythons_agree(tmp_path, minor):
    python = which(f"python3.{minor}")
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip(f"there is no Python 3.{minor} here")
    file = tmp_path / "plugin.py"
    file.write_text(SAMPLE)
    # The rest of the package may need what is not installed there.
    code = "import sys, types; package = types.ModuleType('bench'); package.__path__ = [sys.argv[2]]\n"
    code += "sys.modules['bench'] = package\nfrom pathlib import Path\n"
    code += "from bench.records import code_identity\n"
    code += "print(code_identity.read(Path(sys.argv[1])).identity())"
    done = subprocess.run([python, "-c", code, file, ROOT / "bench"], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (EXPECTED, "")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_layout_comments_and_docstrings_are_no_part_of_it(identity, file):
    text = file.read_text()
    before = identity(text)
    # Neither comments nor layout survive a round trip.
    bare = ast.unparse(ast.parse(text))
    assert identity(bare) == before
    assert identity(f'"""Another docstring."""\n# And a comment.\n{bare}') == before


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_any_other_number_is(identity, file):
    tree = ast.parse(file.read_text())
    numbers = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is int]
    if not numbers:
        pytest.skip("no number in it")
    before = identity(ast.unparse(tree))
    for node in numbers[:10]:
        node.value += 1
        assert identity(ast.unparse(tree)) != before
        node.value -= 1


METHODS = sorted(file for file in SHIPPED if file.parent.name == "methods")


@pytest.mark.parametrize("file", METHODS, ids=lambda file: file.stem)
def test_formulas_are_no_part_of_it(identity, file):
    tree, found = ast.parse(file.read_text()), 0
    before = identity(ast.unparse(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            kept = [keyword for keyword in node.keywords if keyword.arg != "formula"]
            found += len(node.keywords) - len(kept)
            node.keywords = kept
    assert found
    assert identity(ast.unparse(tree)) == before


def test_a_formula_counts_where_nothing_says_that_it_is_for_readers(identity):
    for called in ("made", "other", "partial"):
        text = f"made = wrap(method)\n@{called}('mine', formula='{{}}')\ndef mine(x): return x\n"
        assert identity(text.format("x")) != identity(text.format("y"))
    text = "made = partial(method, kind='control')\n@made('mine', {}='{}')\ndef mine(x): return x\n"
    assert identity(text.format("formula", "x")) == identity(text.format("formula", "y"))
    # As ever, so that no finished result is stale.
    assert identity(text.format("note", "x")) != identity(text.format("note", "y"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment\n", "\n"),
        ('"""h(x) = 1."""', '"""h(x) = one."""'),
        ('    "h(x)."\n', ""),
        ('note="a note"', 'note="another"'),
        ('paper=f"see {TEXT}"', 'paper="none"'),
        ('"a" \'b\' f"', "'ab' f'''"),
        ("from bench.shapes import", "from bench.forms import"),
        ("import os, sys as system", "import sys as system\nimport os"),
        ("from __future__ import annotations\n", ""),
        ("def bump(x, /, width", "def bump(\n    x,\n    /,\n    width"),
    ],
)
def test_what_changes_no_number_changes_nothing(identity, old, new):
    text = SAMPLE.replace(old, new)
    if "'''" in new:
        text = text.replace('.2f} {{}}"', ".2f} {{}}'''")
    assert text != SAMPLE
    assert identity(text) == EXPECTED


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-1.5e-3", "1.5e-3"),
        ("True", "1"),
        ("1.0, True", "1, True"),
        ("Param(1.0)", "Param(2.0)"),
        ("rectangle as box", "triangle as box"),
        ("x[..., ::2]", "x[..., ::3]"),
        ("from None", "from error"),
        ("{**more, 'k'", "{'m': more, 'k'"),
        ('"no"', '"yes"'),
        ('method("bump"', 'method("bumps"'),
    ],
)
def test_what_may_change_a_number_does(identity, old, new):
    assert old in SAMPLE
    assert identity(SAMPLE.replace(old, new)) != EXPECTED


# --- of one thing in a file of several ---

SEVERAL = """
import math
from torch import Tensor

SCALE = 2
OTHER = 3
TABLE = {}

def helper(x):
    return x * SCALE

def first(x):
    return helper(x) + math.pi

def second(x):
    return x * OTHER

third = make("third", 5)
fourth = make("fourth", 6)
TABLE["second"] = 7
second.limit = 8
"""


@pytest.mark.parametrize(
    ("old", "new", "touched"),
    [
        ("SCALE = 2", "SCALE = 9", {"first"}),
        ("OTHER = 3", "OTHER = 9", {"second"}),
        ("x * SCALE", "x + SCALE", {"first"}),
        ("math.pi", "math.e", {"first"}),
        ('"third", 5', '"third", 9', {"third"}),
        ('"fourth", 6', '"fourth", 9', {"fourth"}),
        ('TABLE["second"] = 7', 'TABLE["second"] = 9', set()),
        ("second.limit = 8", "second.limit = 9", {"second"}),
        ("from torch import Tensor", "from torch import Tensor, nn", set()),
        ("import math", "import math\nprint(helper)", {"first", "second", "third", "fourth"}),
        ("import math", "import math\nglobals()['SCALE'] = 9", {"first", "second", "third", "fourth"}),
        ("import math", "from math import *", {"first", "second", "third", "fourth"}),
    ],
)
def test_each_depends_on_what_it_uses(identity, old, new, touched):
    names = ("first", "second", "third", "fourth")
    before, after = ({n: identity(text, n) for n in names} for text in (SEVERAL, SEVERAL.replace(old, new)))
    assert {name for name in names if before[name] != after[name]} == touched


def test_a_row_of_a_library_does_not_change_the_others(write_plugin):
    """On the shipped file, edited as a maintainer would."""
    text = (ROOT / "methods" / "snntorch_surrogates.py").read_text().replace("snntorch/", "other/")
    rows = ("atan", "fast_sigmoid", "sigmoid")

    def identities(text):
        found = registry.load((write_plugin(text),))
        return {row: found.methods[f"other/{row}"].identity for row in rows}

    before = identities(text)
    one = identities(text.replace('"width": 4 / (math.pi * 2)', '"width": 5 / (math.pi * 2)'))
    assert {row for row in rows if one[row] != before[row]} == {"atan"}
    shared = identities(text.replace("self.function(x)", "self.function(x + 1)"))
    assert {row for row in rows if shared[row] != before[row]} == set(rows)


@given(st.integers(0, 5), st.integers(0, 5))
def test_a_chain_of_uses_is_followed_to_its_end(changed, asked):
    chain = [f"def f{i}(x):\n    return f{i - 1}(x) + {i}\n" for i in range(1, 6)]
    text = "def f0(x):\n    return x + 0\n" + "".join(reversed(chain))
    edited = text.replace(f"+ {changed}\n", "+ 99\n")
    same = _text(text, f"f{asked}") == _text(edited, f"f{asked}")
    assert same == (changed > asked)


def _text(text, *names):
    return code_identity._parsed(text.encode()).text(names)


# --- modules beside it ---


def test_a_module_beside_it_is_part_of_it(identity):
    text = "from helper import f\n\ndef mine(x):\n    return f(x)\n\ndef other(x):\n    return x\n"
    before = identity(text, "mine", helper="def f(x):\n    return 1\n")
    alone = identity(text, "other")
    assert identity(text, "mine", helper="# why\ndef f(x):\n    return 1\n") == before
    assert identity(text, "mine", helper="def f(x):\n    return 2\n") != before
    assert identity(text, "other") == alone


@pytest.mark.parametrize(
    "text",
    [
        "import deep\n",
        "import torch, deep as d\n",
        "if True: import deep\n",
        "def mine():\n    from deep import g\n",
        "try:\n    from deep import (\n        g,\n    )\nexcept ImportError:\n    g = None\n",
        "import \\\n    deep\n",
    ],
)
def test_so_is_what_that_imports_however_it_is_imported(identity, text):
    first = identity(text, deep="import deeper\n", deeper="x = 1\n")
    assert identity(text, deeper="x = 2\n") != first


def test_a_package_beside_it_is_followed(identity, tmp_path):
    text = "from package import part\n"
    before = identity(text, package_____init__="a = 1\n", package___part="from . import other\n")
    assert identity(text, package___other="b = 1\n") != before
    with_other = identity(text)
    assert identity(text, package___other="b = 2\n") != with_other
    assert identity(text, package___unused="c = 1\n") == identity(text)


def test_libraries_and_the_harness_are_no_part_of_it(tmp_path):
    (tmp_path / "plugin.py").write_text("import torch, numpy\nfrom bench import shapes\n")
    assert [source.name for source in code_identity.read(tmp_path / "plugin.py").sources] == ["plugin.py"]


def test_the_name_of_the_file_is_no_part_of_it(tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(SAMPLE)
    one, two = (code_identity.read(tmp_path / name) for name in ("one.py", "two.py"))
    assert one.identity() == two.identity() == EXPECTED


@pytest.mark.parametrize("content", [b"def broken(:", b"\xff\xfe", b"x = 1\x00"])
def test_what_cannot_be_parsed_has_an_identity_too(tmp_path, content):
    file = tmp_path / "plugin.py"
    file.write_bytes(content)
    before = code_identity.read(file)
    assert before.identity() == before.identity(("x",))
    file.write_bytes(content + b"\n# more")
    assert code_identity.read(file).identity() != before.identity()
