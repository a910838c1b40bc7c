"""The environments of tox.ini that must agree with pyproject.toml."""

import configparser
import re
import tomllib
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]


def environment(name):
    tox = configparser.ConfigParser(interpolation=None)
    tox.read(HOME / "tox.ini")
    return tox[f"testenv:{name}"]


def test_the_environment_with_spikingjelly_runs_every_test_that_needs_it():
    run = set(re.findall(r"tests/\S+\.py", environment("peers")["commands"]))
    need = {
        file.relative_to(HOME).as_posix()
        for file in (HOME / "tests").rglob("test_*.py")
        if "perf" not in file.parts and file != Path(__file__) and "spikingjelly" in file.read_text()
    }
    assert need <= run, f"add to tox.ini: {need - run}"
    assert all((HOME / file).is_file() for file in run)


def test_the_oldest_torch_that_is_tested_is_the_oldest_that_may_be_installed():
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    (bound,) = (
        each.removeprefix("torch>=") for each in project["dependencies"] if each.startswith("torch>=")
    )
    (tested,) = re.findall(r"^torch==(\S+)$", environment("oldest")["deps"], re.M)
    assert tested in (bound, f"{bound}.0")


def test_no_file_is_divided_among_processes():
    # Otherwise the wheel, and the trainings that the tests of a file share, are made in each of them.
    lines = re.findall(r"pytest .*-n 2.*", (HOME / "tox.ini").read_text())
    assert lines and all("-n 2 --dist loadfile}" in line for line in lines)
