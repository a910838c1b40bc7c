"""The distribution end to end: sdist, wheel made from it, installation, and runs outside the checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]
PLACES = {
    "bench": "bench",
    "methods": "bench/plugins/methods",
    "datasets": "bench/plugins/datasets",
    "results/leaderboards": "bench/plugins/leaderboards",
    "results/published": "bench/plugins/published",
}
"""Where the folders of the checkout are in the wheel."""
SHIPPED = {".py", ".toml", ".csv", ".css", ".js", ".jinja"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, made from the sdist and without a network."""
    out = tmp_path_factory.mktemp("dist")
    call([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)], cwd=out)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder with the installed wheel and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target)]
    call([*pip, str(wheel)], cwd=target)
    return target


def call(command, cwd, **env):
    """The command's standard output; a failure shows all it printed."""
    done = subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def python(installed, cwd, *arguments):
    """Run Python in `cwd`, with the installed wheel ahead of the checkout."""
    data = str(cwd / "no-data")
    return call([sys.executable, *arguments], cwd, PYTHONPATH=str(installed), SPIKEGRAD_DATA=data)


def test_the_wheel_holds_every_shipped_file_and_nothing_beside_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {
        f"{place}/{file.relative_to(ROOT / folder).as_posix()}"
        for folder, place in PLACES.items()
        for file in (ROOT / folder).rglob("*")
        if file.is_file() and (file.suffix in SHIPPED or file.name == "py.typed")
    }
    assert {"bench/py.typed", "bench/suites/smoke.toml", "bench/plugins/methods/mpd_agl.py"} <= expected
    assert "bench/plugins/published/accuracy.csv" in expected
    assert any(name.startswith("bench/plugins/datasets/") for name in expected)
    assert expected - names == set()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"bench", "spikegrad_bench"}
    assert not [name for name in names if "__pycache__" in name]


def test_the_wheel_declares_the_command_and_the_licence(wheel):
    with zipfile.ZipFile(wheel) as archive:
        texts = {Path(n).name: archive.read(n).decode() for n in archive.namelist() if ".dist-info/" in n}
    assert "spikegrad = bench.cli.app:main" in texts["entry_points.txt"]
    assert "License-Expression: MIT" in texts["METADATA"]
    assert texts["LICENSE"] == (ROOT / "LICENSE").read_text()


def test_what_is_imported_is_the_wheel(installed, tmp_path):
    file = python(installed, tmp_path, "-c", "import bench; print(bench.__file__)")
    assert Path(file.strip()).is_relative_to(installed)


def test_a_suite_runs_from_the_wheel_in_an_empty_folder(installed, tmp_path):
    python(installed, tmp_path, "-m", "bench", "run", "smoke")
    runs = pd.read_csv(tmp_path / "results" / "local" / "leaderboards" / "smoke" / "runs.csv")
    assert len(runs) >= 3
    assert set(runs["status"]) == {"ok"}
    assert "rectangle" in (tmp_path / "results" / "local" / "reports" / "smoke.html").read_text(
        encoding="utf-8"
    )


def test_shipped_methods_are_listed_from_the_wheel(installed, tmp_path):
    listed = json.loads(python(installed, tmp_path, "-m", "bench", "list", "methods", "--json"))
    assert "mpd-agl" in {entry["name"] for entry in listed}
