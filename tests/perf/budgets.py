"""What speed and memory of the suite are held against; a limit is stated here and nowhere else."""

from typing import Literal, NamedTuple

Sense = Literal["at most", "at least"]


class Budget(NamedTuple):
    """A figure to be kept, in `unit`: "x" is a ratio, "%" a share."""

    name: str
    limit: float
    sense: Sense = "at most"
    unit: str = "x"


NEURON = Budget("neuron layer, forward + backward, against five copies of the same bytes", 1.5)
RELU = Budget("training step against the same backbone with ReLU on T·B inputs", 1.10)
PEERS = Budget("training step of the fastest peer against ours, same weights", 1.5, "at least")
MEMORY = Budget("peak training memory against the leanest peer", 0.6)
MPD_AGL = Budget("training step of MPD-AGL against the fixed rectangle's", 1.02)
PROBES = Budget("a look at the gradients after every epoch, of training time", 5.0, unit="%")
