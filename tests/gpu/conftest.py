"""What the checks of a GPU share: figures that they print at the end, and what compiles beside them."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import compared
import pytest
import torch

WORKERS = 8
FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def device(request):
    """Where a test computes; `parametrize` it with DEVICES, indirectly."""
    return torch.device(request.param)


@pytest.fixture
def figures(request):
    """A list of lines, printed when all tests are done."""
    return request.config.stash.setdefault(FIGURES, [])


@pytest.fixture(scope="session", autouse=True)
def outcome(request):
    """outcome(function, name, device): what it returns.

    On a GPU all that the chosen tests ask for is computed from the start on, in processes of its own.
    """
    chosen = {
        (item.function.compares, *(item.callspec.params[key] for key in ("name", "on")))
        for item in request.session.items
        if hasattr(getattr(item, "function", None), "compares") and item.callspec.params["on"] == "cuda"
    }
    workers = max(1, min(WORKERS, (os.cpu_count() or 1) // 2))
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        futures = {}
        if torch.cuda.is_available():
            # The networks first: they take longest.
            in_order = sorted(chosen, key=lambda case: (case[0] is compared.layer, case[1]))
            futures = {case: pool.submit(*case) for case in in_order}

        def get(function, name, on):
            return futures[function, name, on].result() if on == "cuda" else function(name, on)

        yield get
        pool.shutdown(cancel_futures=True)


@pytest.fixture(autouse=True)
def _settings_as_they_were():
    backends = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    yield
    for backend, allowed in zip(backends, before, strict=True):
        backend.allow_tf32 = allowed
    torch.use_deterministic_algorithms(deterministic)
    torch.utils.deterministic.fill_uninitialized_memory = fill
    torch.set_num_threads(threads)


def pytest_terminal_summary(terminalreporter, config):
    if lines := config.stash.get(FIGURES, []):
        terminalreporter.section("found")
        for line in lines:
            terminalreporter.write_line(line)
