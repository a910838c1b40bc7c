"""The environments of tox.ini that must agree with pyproject.toml."""

import configparser
import re
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]


def test_the_oldest_torch_that_is_tested_is_the_oldest_that_may_be_installed():
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(HOME / "tox.ini")
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    (bound,) = (
        each.removeprefix("torch>=") for each in project["dependencies"] if each.startswith("torch>=")
    )
    (tested,) = re.findall(r"^torch==(\S+)$", tox["testenv:oldest"]["deps"], re.M)
    assert tested in (bound, f"{bound}.0")


def test_no_file_is_divided_among_processes():
    # Otherwise the wheel, and the trainings that the tests of a file share, are made in each of them.
    lines = re.findall(r"pytest .*-n 2.*", (HOME / "tox.ini").read_text())
    assert lines and all("-n 2 --dist loadfile}" in line for line in lines)
