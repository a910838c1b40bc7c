"""What the checks of a GPU share: figures that they print at the end, and torch's settings as they were."""

import pytest
import torch

FIGURES = pytest.StashKey[list[str]]()


@pytest.fixture
def device(request):
    """Where a test computes; `parametrize` it with DEVICES, indirectly."""
    return torch.device(request.param)


@pytest.fixture
def figures(request):
    """A list of lines, printed when all tests are done."""
    return request.config.stash.setdefault(FIGURES, [])


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
