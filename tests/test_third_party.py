"""A method in somebody else's package, as the guide says: built, installed, found, planned and run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = ROOT / "docs" / "add-a-method.md"
SUITE = """
name = "theirs"
methods = ["rectangle", { name = "mine", params = { sharpness = 4 } }]
datasets = [{ name = "digits", subset = 200 }]
backbones = [{ name = "mlp", width = 0.125 }]
timesteps = [2]
seeds = [0]

[recipe]
epochs = 1
batch_size = 32
learning_rate = 0.01

[profile]
device = "cpu"
"""


def call(command, cwd):
    """The command's standard output; a failure shows all it printed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def block(language, about):
    """The first block of the guide in this language that speaks of `about`."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    return next(text for text in found if about in text)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the third party's package and nothing else, installed from its wheel."""
    source, dist, target = (tmp_path_factory.mktemp(name) for name in ("source", "dist", "installed"))
    package = source / "my_surrogates"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "mine.py").write_text(block("python", "sharpness=Param"))
    (source / "pyproject.toml").write_text(block("toml", "entry-points"))
    call(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(source)], dist
    )
    (wheel,) = dist.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target)]
    call([*pip, str(wheel)], dist)
    return target


@pytest.fixture(scope="module")
def theirs(installed, environment, spikegrad):
    """theirs("list", "methods", cwd=folder) -> stdout of spikegrad where the package is installed."""
    path = os.pathsep.join([environment["PYTHONPATH"], str(installed)])

    def say(*arguments, cwd):
        done = spikegrad(*arguments, cwd=cwd, path=path)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return say


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with a suite that names the method."""
    made = tmp_path_factory.mktemp("user")
    (made / "theirs.toml").write_text(SUITE)
    return made


def test_the_method_is_listed_beside_the_shipped_ones(theirs, folder):
    listed = {entry["name"]: entry for entry in json.loads(theirs("list", "methods", "--json", cwd=folder))}
    assert {"mine", "rectangle", "mpd-agl"} <= listed.keys()
    assert listed["mine"]["formula"] == "h(x) = k exp(-k|x|) / 2, k = sharpness."


@pytest.fixture(scope="module")
def ended(theirs, folder):
    """What the run of that suite prints."""
    return json.loads(theirs("run", "theirs.toml", "--json", cwd=folder))


def test_a_suite_that_names_it_runs_without_a_plugin_option(ended):
    assert ended["statuses"] == {"ok": 2}
    variants = {row["method"]: row["variant"] for row in ended["accuracy"]}
    assert variants.keys() == {"mine", "rectangle"}
    assert variants["mine"].startswith("sharpness=4 ")


def test_an_edit_in_the_package_makes_its_own_records_stale(theirs, folder, installed, ended):
    module = installed / "my_surrogates" / "mine.py"
    text = module.read_text()

    def states():
        planned = json.loads(theirs("plan", "theirs.toml", "--json", cwd=folder))
        return {cell["method"]["name"]: cell["state"] for cell in planned["cells"]}

    module.write_text(text + "# changed\n")
    assert states() == {"mine": "done", "rectangle": "done"}
    module.write_text(text.replace("/ 2", "/ 3"))
    assert states() == {"mine": "stale", "rectangle": "done"}
