"""What tests of trainings in this process need."""

from pathlib import Path

import pytest
import torch

from bench import registry
from bench.data import loading


@pytest.fixture(autouse=True)
def _torch_as_it_was():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.use_deterministic_algorithms(False)
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def digits():
    """Some of the digits, prepared."""
    return loading.prepare(registry.load().dataset("digits").item, loading.Request(Path(), 2), 200)
