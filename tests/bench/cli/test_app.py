"""Commands are imported when they are called, and listed without being imported."""

import inspect
import platform
import subprocess
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import pytest

from bench import __version__
from bench.cli import app


@pytest.mark.parametrize("name", app.COMMANDS)
def test_a_command_is_what_its_line_says(name):
    module, _, function = app.COMMANDS[name].partition(":")
    found = getattr(import_module(f"bench.cli.{module}"), function)
    first = inspect.getdoc(found).split("\n\n")[0]
    assert app._first_line(module, function) == first and first.endswith(".")


def loaded(*arguments):
    code = (
        "import sys, atexit\nfrom bench.cli import app\n"
        f"sys.argv = ['spikegrad', *{arguments!r}]\n"
        "own = lambda: sorted(name for name in sys.modules if name.startswith('bench.'))\n"
        "atexit.register(lambda: print('LOADED', *own()))\n"
        "app.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.rpartition("LOADED")[2].split(), done


def test_the_list_of_commands_imports_none_of_them():
    modules, done = loaded("--help")
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in app.COMMANDS)
    expected = {"cli", "cli.app", "errors", "files", "show", "show.terminal"}
    assert set(modules) == {f"bench.{name}" for name in expected}


def test_a_command_imports_no_other():
    modules, done = loaded("export", "--help")
    assert done.returncode == 0 and "--to" in done.stdout
    assert "bench.cli.export" in modules and "bench.cli.run" not in modules


def test_two_dashes_before_a_command_change_nothing():
    modules, done = loaded("--", "export", "--help")
    assert "bench.cli.export" in modules
    assert done.returncode == 0 and "--to" in done.stdout


def test_a_name_that_is_not_one_is_refused_with_the_closest():
    _, done = loaded("leaderbord")
    assert done.returncode == 2 and "Did you mean 'leaderboard'?" in done.stderr


def test_the_versions_are_one_line_without_torch():
    modules, done = loaded("--version")
    said = done.stdout.splitlines()[0]
    assert (
        said == f"spikegrad-bench {__version__}, Python {platform.python_version()}, torch {version('torch')}"
    )
    assert done.returncode == 0 and done.stderr == ""
    assert "bench.cli.run" not in modules


def test_the_versions_are_said_where_there_is_no_torch(monkeypatch, capsys):
    def none(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", none)
    with pytest.raises(SystemExit):
        app._say_version(True)
    assert capsys.readouterr().out.endswith("torch not installed\n")


def test_help_tells_of_versions_and_completion_and_the_script_is_for_spikegrad():
    _, done = loaded("--help")
    assert all(option in done.stdout for option in ("--version", "--install-completion"))
    _, script = loaded("--show-completion", "bash")
    assert "_SPIKEGRAD_COMPLETE=complete_bash" in script.stdout
