"""What all measurements of speed share.

Under a plain pytest everything here is small and runs once, for its checks alone; `tox run -e perf` measures.
"""

from pathlib import Path

import pytest
import torch
from ledger import Ledger
from rich.console import Console

KEPT = pytest.StashKey[Ledger]()


def pytest_addoption(parser):
    parser.addoption(
        "--performance",
        default="results/local/performance",
        help="the folder for what was measured (default: results/local/performance)",
    )


def pytest_configure(config):
    config.stash[KEPT] = Ledger()


@pytest.fixture(scope="session")
def measuring(request):
    """Whether times are wanted."""
    option = request.config.getoption
    return option("benchmark_enable") or not option("benchmark_disable")


@pytest.fixture(scope="session")
def ledger(request):
    """Where figures go."""
    return request.config.stash[KEPT]


@pytest.fixture
def one_thread():
    """Whatever the machine has, torch computes with one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(config):
    kept = config.stash[KEPT]
    if kept.rows:
        console = Console(width=None)
        console.print()
        kept.show(console)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        print("wrote", kept.save(Path(config.getoption("--performance")), device))
