"""`spikegrad export`, and what `spikegrad import` makes of it, as a user types them."""

import json

import pytest
import shown_runs

from bench.records.store import Store, apart

THERE = {"cpu": "Another CPU", "threads": 1, "gpu": None}


@pytest.fixture
def sent(tmp_path):
    """A results folder with two methods and three seeds of each."""
    for method in ("rectangle", "mpd-agl"):
        for seed in range(3):
            cell = {"method": {"name": method, "params": {}}, "seed": seed}
            shown_runs.write(tmp_path / "sent", shown_runs.placed(cell=cell, environment=THERE))
    return tmp_path / "sent"


def test_what_is_sent_is_taken_in_and_stands_in_the_tables(spikegrad, sent, tmp_path):
    kept = sent / "runs/hand/plugins/0123456789abcdef/mine.py"
    kept.parent.mkdir(parents=True)
    kept.write_text("raise SystemExit('it was run')")
    made = spikegrad("export", "hand", "--results", sent, cwd=tmp_path)
    assert (made.returncode, made.stderr) == (0, "")
    assert made.stdout == "wrote hand.tar.gz: 6 records, no timing\n"
    taken = spikegrad("import", "hand.tar.gz", cwd=tmp_path)
    assert taken.returncode == 0
    assert taken.stdout.startswith("hand: 6 records taken in\n")
    assert len(Store(tmp_path / "results/local", "hand").records()) == 6
    (source,) = (tmp_path / "results").rglob("*.py")
    assert source.read_text() == kept.read_text()


def test_two_laboratories_share_a_folder(spikegrad, sent, tmp_path):
    for seed in range(3):
        cell = {"method": {"name": "rectangle", "params": {}}, "seed": seed}
        shown_runs.write(tmp_path / "results/local", shown_runs.placed(cell=cell))
    assert spikegrad("export", "hand", "--results", sent, "--to", "a.tar.gz", cwd=tmp_path).returncode == 0
    asked = spikegrad("import", "a.tar.gz", cwd=tmp_path)
    assert asked.returncode == 1 and asked.stdout.count("\nconflict: ") == 3
    assert "hand: 3 records taken in, 3 in conflict with what is here\n" in asked.stdout
    both = spikegrad("import", "a.tar.gz", "--keep", "both", "--json", cwd=tmp_path)
    (suite,) = json.loads(both.stdout)["suites"]
    assert both.returncode == 0 and len(suite["beside"]) == 3 and len(suite["there"]) == 3
    assert all(name.endswith(apart("", THERE)) for name in suite["beside"])
    shown = spikegrad("show", "hand", "--json", cwd=tmp_path)
    assert len(json.loads(shown.stdout)) == 9


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nonsense"], "no suite 'nonsense'"),
        (["quick"], "no records of the suite quick in results/local: there is nothing to export"),
        (["hand", "--results", "sent", "--to", "sent"], "sent is there already: name a folder that is not"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(spikegrad, sent, tmp_path, arguments, says):
    ended = spikegrad("export", *arguments, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: ") and says in line
