"""`spikegrad doctor` as its user types it."""

import json


def test_it_says_what_is_there_and_ends_with_1_where_something_is_bad(spikegrad, tmp_path):
    done = spikegrad("doctor", "--results", "r", "--data-root", "d", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("✓ compiler: compiled spikes and gradients are") for line in lines) or any(
        line.startswith("– compiler: no C++ compiler") for line in lines
    )
    assert any(line.startswith("✓ records: none in r") for line in lines)
    assert [*tmp_path.iterdir()] == [], "it writes nothing"
    (tmp_path / "bad.py").write_text("import os\nos._exit(3)\n")
    done = spikegrad("doctor", "--plugin", "bad.py", "--json", cwd=tmp_path)
    assert done.returncode == 1
    (plugin,) = [each for each in json.loads(done.stdout) if each["topic"] == "plugin"]
    assert plugin["state"] == "bad" and "the process ended with exit code 3" in plugin["found"]
