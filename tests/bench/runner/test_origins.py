"""Where the code of a training came from, on record and as a copy."""

import json
import subprocess

import pytest

from bench import paths, registry
from bench.records.code_identity import read
from bench.runner import origins, worker
from bench.runner.engines import local

MINE = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).parent))
from beside import scale

@method("mine", paper="unpublished", width=Param(1.0))
def mine(x, width):
    "h(x) = width."
    return x * 0 + scale(width)
"""


@pytest.fixture
def plugin(write_plugin, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path / "own")
    file = write_plugin(MINE, "own/mine.py")
    (file.parent / "beside.py").write_text("def scale(x):\n    return x\n")
    return file


def planned(make_plan, tiny, *plugins, **changes):
    return make_plan(tiny(**({"methods": ["mine", "rectangle"]} | changes)), plugins=plugins)


def test_what_is_shipped_and_what_is_not(make_plan, tiny, plugin):
    made = planned(make_plan, tiny, plugin)
    mine, shipped = (origins.origins(each.cell, made.registry) for each in made.cells)
    assert mine.keys() == shipped.keys() == {"method", "dataset", "backbone"}
    assert mine["method"] == {
        "file": "mine.py",
        "identity": made.registry.method("mine").identity,
        "shipped": False,
        "commit": None,
        "dirty": None,
    }
    assert shipped["method"]["file"] == "rectangle.py"
    assert all(each["shipped"] and each["commit"] is None for each in shipped.values())


def git(folder, *words):
    named = ["-c", "user.name=n", "-c", "user.email=e"]
    return subprocess.run(
        ["git", "-C", folder, *named, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


def test_the_commit_is_that_of_the_plugin_s_own_repository(make_plan, tiny, plugin):
    def origin():
        made = planned(make_plan, tiny, plugin)
        return origins.origins(made.cells[0].cell, made.registry)["method"]

    git(plugin.parent, "init")
    assert origin()["commit"] is None, "it is not kept in it"
    git(plugin.parent, "add", ".")
    git(plugin.parent, "commit", "-m", "first")
    origins._kept_in.cache_clear()
    commit = git(plugin.parent, "rev-parse", "HEAD")
    assert (origin()["commit"], origin()["dirty"]) == (commit, False)
    (plugin.parent / "another.py").write_text("x = 1\n")
    origins._kept_in.cache_clear()
    assert origin()["dirty"] is False, "the file is none of the plugin's"
    (plugin.parent / "beside.py").write_text("def scale(x):\n    return 2 * x\n")
    assert (origin()["commit"], origin()["dirty"]) == (commit, True)


class Silent:
    def started(self, *_): ...
    def epoch(self, *_): ...
    def ended(self, *_): ...


def test_a_run_keeps_the_plugin_s_files_and_its_records_name_them(make_plan, tiny, plugin):
    made = planned(make_plan, tiny, plugin)
    local.run(made, jobs=1, timeout=60, listener=Silent())
    records = {record["cell"]["method"]["name"]: record for record in made.store.records()}
    identity = records["mine"]["sources"]["method"]["identity"]
    kept = made.store.runs / paths.PLUGINS
    assert {file.relative_to(kept).as_posix() for file in kept.rglob("*.py")} == {
        f"{identity}/mine.py",
        f"{identity}/beside.py",
    }
    assert (kept / identity / "mine.py").read_bytes() == plugin.read_bytes()
    assert read(kept / identity / "mine.py").identity(("mine",)) == identity
    assert records["rectangle"]["sources"]["method"]["shipped"]
    assert made.store.survey()[1] == [], "it is no damaged record"
    before = (kept / identity / "mine.py").stat().st_mtime_ns
    origins.keep(made.store.runs, made.cells[0].cell, made.registry)
    assert (kept / identity / "mine.py").stat().st_mtime_ns == before


def test_a_record_names_the_versions_of_what_it_depends_on(make_plan, tiny):
    made = planned(make_plan, tiny, methods=["snntorch/atan", "rectangle"])
    theirs, ours = (worker.make_record(each.cell, each.known, made.registry) for each in made.cells)
    assert theirs["versions"].keys() == {"torch", "snntorch"}
    assert ours["versions"].keys() == {"torch"}
    packages = theirs["environment"]["packages"]
    assert theirs["versions"]["snntorch"] == packages["snntorch"]
    assert theirs["versions"]["torch"] == packages["torch"].split("+")[0]
    assert theirs["digests"]["method"].endswith(f" snntorch {packages['snntorch']}")
    json.dumps(theirs, allow_nan=False)


def test_an_entry_without_a_file_has_no_origin_to_keep(tmp_path, make_plan, tiny):
    made = planned(make_plan, tiny, methods=["rectangle"])
    (each,) = made.cells
    there = made.registry.methods["rectangle"]
    bare = registry.Registry(
        methods={"rectangle": registry.Entry(there.item, there.file)},
        datasets=made.registry.datasets,
        backbones=made.registry.backbones,
    )
    origins.keep(tmp_path / "runs", each.cell, bare)
    assert not (tmp_path / "runs").exists()
    assert origins.origins(each.cell, bare)["method"]["identity"] == ""
