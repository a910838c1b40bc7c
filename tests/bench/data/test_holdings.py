"""What is there of a dataset, and a download that changes everything or nothing."""

import urllib.error
from pathlib import Path

import pytest

from bench.data.holdings import STAGING, Holding, fetch, holding, parse
from bench.data.loading import Setting, dataset
from bench.errors import BenchError
from bench.files import owner_mark

FILES = ("set/a.bin", "set/b")


def declare(**facts):
    @dataset(
        "mine",
        shape=(1,),
        classes=2,
        licence="CC0",
        source="here",
        **{"files": FILES, "get": "http://x", **facts},
    )
    def load(request):
        raise AssertionError("nothing here loads")

    return load.declared[0]


def whole(root):
    """A download: set/a.bin of 3 bytes, and set/b, a folder with 5 bytes in two files."""
    (root / "set/b/deep").mkdir(parents=True)
    (root / "set/a.bin").write_bytes(b"new")
    (root / "set/b/one").write_bytes(b"12")
    (root / "set/b/deep/two").write_bytes(b"345")
    (root / "archive.zip").write_bytes(b"")


def tree(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_set_without_files_needs_nothing(tmp_path):
    found = holding(declare(files=()), tmp_path)
    assert (found.state, found.complete, found.files) == ("needs nothing", True, {})
    found.require()


def test_the_states_follow_the_files(tmp_path):
    assert holding(declare(), tmp_path / "nowhere").state == "missing"
    (tmp_path / "set/b").mkdir(parents=True)
    # A folder without a file in it is as good as none.
    assert holding(declare(), tmp_path).missing == list(FILES)
    (tmp_path / "set/a.bin").write_bytes(b"123")
    found = holding(declare(), tmp_path)
    assert (found.state, found.missing, found.bytes, found.complete) == ("partly there", ["set/b"], 3, False)
    (tmp_path / "set/b/x").write_bytes(b"4567")
    found = holding(declare(), tmp_path)
    assert (found.state, found.files, found.complete) == ("there", {"set/a.bin": 3, "set/b": 4}, True)


def test_a_file_where_a_folder_should_be_is_missing(tmp_path):
    (tmp_path / "set").write_bytes(b"")
    assert holding(declare(), tmp_path).state == "missing"


def test_a_file_may_be_named_by_a_parameter(tmp_path):
    mine = declare(files=("{path}/a.bin",), params={"path": Setting("")})
    found = holding(mine, tmp_path)
    assert (found.state, found.missing, found.complete) == ("needs a path", [], False)
    with pytest.raises(BenchError, match=r"your own files and path is not set; give --set path=FOLDER"):
        found.require()
    given = holding(mine, tmp_path, {"path": "here"})
    assert given.missing == ["here/a.bin"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.bin").write_bytes(b"1")
    assert holding(mine, tmp_path / "root", {"path": str(elsewhere)}).state == "there"


def test_a_file_that_names_no_parameter_is_told(tmp_path):
    with pytest.raises(BenchError, match=r"its files name \{side\}, which is no parameter of it"):
        _ = holding(declare(files=("{side}.bin",)), tmp_path).state


def test_what_cannot_be_looked_at_is_told(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    found = holding(declare(), tmp_path)
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    with pytest.raises(BenchError, match=r"dataset mine: cannot look at .*a\.bin \(Permission denied\)"):
        _ = found.state


def test_what_is_missing_is_named_with_where_it_comes_from(tmp_path):
    with pytest.raises(BenchError) as caught:
        holding(declare(), tmp_path).require()
    assert str(caught.value) == (
        f"dataset mine: 2 of 2 missing from the data root {tmp_path} (set/a.bin, set/b); "
        "to put them there yourself: http://x"
    )
    many = holding(declare(files=[f"f{i:02}" for i in range(20)]), tmp_path).lack()
    assert "f07 and 12 more)" in many


# --- fetching ---


def test_a_download_is_put_in_its_place_whole(tmp_path):
    root = tmp_path / "new/root"
    found = fetch(holding(declare(download=whole), root))
    assert found.state == "there"
    assert tree(root) == {
        "archive.zip": b"",
        "set/a.bin": b"new",
        "set/b/deep/two": b"345",
        "set/b/one": b"12",
    }


def test_a_download_overwrites_nothing(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.bin").write_bytes(b"the user's")
    (tmp_path / "other").write_bytes(b"stays")
    assert fetch(holding(declare(download=whole), tmp_path)).state == "there"
    assert tree(tmp_path)["set/a.bin"] == b"the user's"
    assert tree(tmp_path)["other"] == b"stays"
    assert tree(tmp_path)["set/b/one"] == b"12"


def test_what_a_download_prints_is_no_result(tmp_path, capsys):
    def chatty(root):
        print("extracting")
        whole(root)

    fetch(holding(declare(download=chatty), tmp_path))
    assert capsys.readouterr() == ("", "extracting\n")


FAULTS = [
    (urllib.error.URLError(OSError(-2, "Name or service not known")), "(Name or service not known)"),
    (OSError(28, "No space left on device"), "(No space left on device)"),
    (RuntimeError("File not found\nor corrupted."), "(File not found or corrupted.)"),
    (EOFError(), "(EOFError)"),
    (ValueError("bad"), "(ValueError: bad)"),
    (
        ModuleNotFoundError("No module named 'x.y'", name="x.y"),
        "(the Python package x.y is not installed: pip install x)",
    ),
    (BenchError("no luck"), "(no luck)"),
]


@pytest.mark.parametrize(("fault", "why"), FAULTS, ids=[type(f).__name__ for f, _ in FAULTS])
@pytest.mark.parametrize("there", [False, True])
def test_a_download_that_fails_leaves_nothing_and_says_what_to_do(tmp_path, fault, why, there):
    root = tmp_path / "root"
    if there:
        root.mkdir()
        (root / "other").write_bytes(b"stays")

    def cut_off(folder):
        whole(folder)
        raise fault

    with pytest.raises(BenchError) as caught:
        fetch(holding(declare(download=cut_off), root))
    said = str(caught.value)
    assert (
        f"missing from the data root {root} (set/a.bin, set/b), and the download failed {why}; to put" in said
    )
    assert "\n" not in said
    assert [p.name for p in root.iterdir()] == ["other"] if there else not root.exists()


def test_an_interrupt_leaves_nothing(tmp_path):
    def stopped(root):
        whole(root)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(holding(declare(download=stopped), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_brings_too_little_changes_nothing(tmp_path):
    def half(root):
        (root / "set").mkdir()
        (root / "set/a.bin").write_bytes(b"1")

    with pytest.raises(BenchError, match=r"the download failed \(it brought no set/b\)"):
        fetch(holding(declare(download=half), tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_without_a_download_the_sentence_is_all(tmp_path):
    with pytest.raises(BenchError, match="2 of 2 missing from the data root"):
        fetch(holding(declare(), tmp_path / "root"))
    assert list(tmp_path.iterdir()) == []


def test_a_root_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BenchError, match=r"cannot write to the data root .*file/root \(Not a directory\)"):
        fetch(holding(declare(download=whole), tmp_path / "file/root"))


def test_what_a_killed_download_left_goes_and_one_at_work_stays(tmp_path):
    dead, alive = tmp_path / f"{STAGING}dead", tmp_path / f"{STAGING}{owner_mark()}.alive"
    for folder in (dead, alive):
        (folder / "data").mkdir(parents=True)
    fetch(holding(declare(download=whole), tmp_path))
    assert not dead.exists()
    assert (alive / "data").is_dir()


# --- parameters ---

PARAMS = {"pool": Setting(4, low=1), "noise": Setting(0.5), "path": Setting("")}


def test_a_parameter_has_the_type_of_its_default():
    mine = declare(params=PARAMS)
    assert parse(mine, ["pool=8", "noise=1", "path=a=b"]) == {"pool": 8, "noise": 1.0, "path": "a=b"}
    assert isinstance(parse(mine, ["noise=1"])["noise"], float)
    assert parse(mine, []) == {}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["pool"], "--set 'pool' sets nothing: write name=value"),
        (["=3"], "--set '=3' sets nothing"),
        (["pool=4", "pool=5"], "--set gives pool twice: 4 and '5'"),
        (["pool=4.5"], "dataset mine: pool must be a whole number, got '4.5'"),
        (["noise=loud"], "dataset mine: noise must be a number, got 'loud'"),
        (["pool=0"], "dataset mine: pool must lie between 1 and inf, got 0"),
        (["pol=4"], "dataset mine has no parameter 'pol': it has pool, noise, path"),
    ],
)
def test_a_wrong_parameter_is_told(tmp_path, given, sentence):
    mine = declare(params=PARAMS)
    with pytest.raises(BenchError) as caught:
        holding(mine, tmp_path, parse(mine, given))
    assert str(caught.value).startswith(sentence)


def test_the_loader_is_asked_with_every_parameter(tmp_path):
    found = holding(declare(params=PARAMS), tmp_path, {"pool": 2})
    assert isinstance(found, Holding)
    request = found.request(7)
    assert (request.root, request.timesteps) == (tmp_path, 7)
    assert request.params == {"pool": 2, "noise": 0.5, "path": ""}
