"""Prints the MB that training one network takes at most: python memory_of.py CASE TIMESTEPS SUBJECT.

In a process of its own, since what a process once had it seldom gives back.
"""

import sys

import torch
from in_turn import peak_memory
from ours import training_step
from peers import ours, peers, with_neurons
from test_step_speed import CASES, SMALL, pictures


def main(name, timesteps, subject):
    torch.set_num_threads(1)
    backbone, shape, width, batch = CASES.get(name, SMALL)
    kind, _, mode = subject.partition(" ")
    x = pictures(batch, shape)

    def make():
        network = ours(backbone, timesteps, shape, width)
        if kind != "spikegrad":
            network = with_neurons(network, peers()[subject])
        return training_step(network, x, mode or "off")[0]

    print(peak_memory(make, torch.device("cpu")))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
