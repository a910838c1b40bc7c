"""The reference row: the same backbone without spikes."""

import torch

from bench.surrogate import Surrogate, method


@method(
    "ann-relu",
    formula=r"y = \max(0, I)",
    kind="reference",
    changes="network",
    fidelity="library",
    paper="torch.relu in place of every spiking neuron: the ceiling of the backbone",
)
class AnnRelu(Surrogate):
    """y = max(0, I) at every time step; no potential, no reset, no surrogate."""

    activation = staticmethod(torch.relu)
