"""Text from elsewhere: writable, and without secrets."""

import pytest

from bench.errors import counted, printable, ranges


@pytest.mark.parametrize(
    ("number", "text"), [(0, "no file"), (1, "1 file"), (2, "2 files"), (1234, "1,234 files")]
)
def test_things_are_counted(number, text):
    assert counted(number, "file") == text


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], ""), ([3], "3"), ([0, 1], "0, 1"), ([2, 0, 1, 1], "0–2"), ([0, 1, 2, 7, 8], "0–2, 7, 8")],
)
def test_three_numbers_in_a_row_are_a_range(numbers, text):
    assert ranges(numbers) == text


def test_secrets_of_the_environment_and_logins_are_masked(monkeypatch):
    monkeypatch.setenv("SOME_API_TOKEN", "hunter2-hunter2")
    monkeypatch.setenv("DB_PASSWORD", "abc")
    monkeypatch.setenv("SPIKEGRAD_DATA", "/data/hunter")
    text = "refused hunter2-hunter2 at https://me:pass@host/x, abc in /data/hunter"
    assert printable(text) == "refused <SOME_API_TOKEN> at https://<login>@host/x, abc in /data/hunter"


def test_what_cannot_be_written_is_escaped():
    assert printable("a\ud800b é") == "a\\ud800b é"


def test_tracebacks_show_no_folder_of_this_machine(monkeypatch):
    monkeypatch.setattr("sys.path", ["", "/home/me", "/home/me/lib/site-packages"])
    lines = [
        '  File "/home/me/lib/site-packages/torch/nn/modules/module.py", line 1, in call',
        '  File "/home/me/mine.py", line 2, in spike',
        '  File "/elsewhere/other.py", line 3, in spike',
        '  File "<string>", line 4, in spike',
    ]
    assert printable("\n".join(lines)).splitlines() == [
        '  File "torch/nn/modules/module.py", line 1, in call',
        '  File "mine.py", line 2, in spike',
        '  File "other.py", line 3, in spike',
        '  File "<string>", line 4, in spike',
    ]
    assert [printable(line) for line in lines] == printable("\n".join(lines)).splitlines()
    assert printable('open("/data/x")') == 'open("/data/x")'
