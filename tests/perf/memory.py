"""The most memory that training takes, measured in a process of its own."""

from __future__ import annotations

import multiprocessing

import torch
from ours import settings
from subjects import Case, Subject
from torch import nn
from trained_networks import optimizer_of, training_step

from bench.runner.timing.network import HighWater

STEPS = 3
START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def peak_mb(case: Case, subject: Subject, device: torch.device, channels_last: bool) -> float:
    """MB of 2^20 bytes: weights, buffers and the optimizer's state, and the most that a step adds to them.

    Two steps go before, in which libraries load what they need and the compiler, if any, does its work.
    """
    context = multiprocessing.get_context(START)
    # Imported once, by the server, so that every process starts with it and in no time.
    context.set_forkserver_preload(["bench.runner.train", "bench.registry"])
    with context.Pool(1) as pool:
        return pool.apply(measure, (case, subject, device.type, channels_last))


def measure(case: Case, subject: Subject, device: str, channels_last: bool) -> float:
    """`peak_mb` of this process."""
    torch.set_num_threads(1)
    with settings():
        network = subject.network(case, torch.device(device), channels_last=channels_last)
        optimizer = optimizer_of(network)
        step = training_step(network, case.samples(torch.device(device)), optimizer)
        for _ in range(2):
            step()
        optimizer.zero_grad(set_to_none=True)
        high = HighWater(torch.device(device))
        for _ in range(STEPS):
            step()
        return _at_rest(network, optimizer) + high.mb()


def _at_rest(network: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    states = (value for state in optimizer.state.values() for value in state.values())
    kept = [*network.parameters(), *network.buffers(), *filter(torch.is_tensor, states)]
    return sum(tensor.nbytes for tensor in kept) / 2**20
