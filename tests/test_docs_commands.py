"""Every `spikegrad` command that a page shows is one that the command line takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from bench.cli.app import COMMANDS, commands

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown():
    """Each command as written in a block, or in the text if it has more than a name."""
    for page in PAGES:
        text = page.read_text()
        for block in re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if match := re.match(r"(?:\w+=\S+ )*(?:srun )?spikegrad (\w.*?)(?: [|>&].*)?$", line.strip()):
                    yield page.name, match[1]
        for command in re.findall(r"`spikegrad (\w[^`]* --?[^`]*)`", text):
            yield page.name, command


CASES = sorted(set(shown()))


def test_there_are_many():
    assert len(CASES) > 40


@pytest.mark.parametrize(("page", "command"), CASES)
def test_a_command_of_the_pages_is_taken(page, command):
    # "..." and "…" stand for more of the same.
    words = [word for word in shlex.split(command, comments=True) if word not in ("...", "…")]
    assert words[0] in COMMANDS, f"{page}: spikegrad {command}"
    tool = typer.main.get_command(commands(words[0]))
    found, rest = tool, words
    while isinstance(found, typer.core.TyperGroup) and rest and rest[0] in found.commands:
        found, rest = found.commands[rest[0]], rest[1:]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--help", "-h"}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    assert [option for option in given if option not in known] == [], f"{page}: spikegrad {command}"
