"""Surrogates of snntorch and norse, called as they ship, at their defaults.

Nothing is mended on the way: H(0) = 0 here where it is 1 elsewhere in this benchmark, and the
dtype that comes out is theirs. Packages are imported when a network is built, so that a listing
needs neither.
"""

import warnings

from torch import Tensor

from bench.surrogate import Site, Surrogate, Values, method


@method(
    "snntorch/atan",
    kind="library",
    fidelity="library",
    paper="Fang et al., ICCV 2021, as in snntorch.surrogate.atan(alpha=2)",
    link="https://snntorch.readthedocs.io",
    requires=["snntorch"],
)
class SnntorchAtan(Surrogate):
    """h(x) = (a/2) / (1 + (pi a x / 2)^2), a = 2."""

    def bind(self, site: Site) -> None:
        from snntorch import surrogate

        super().bind(site)
        self.function = surrogate.atan()

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        spikes: Tensor = self.function(x)
        return spikes


@method(
    "norse/superspike",
    kind="library",
    fidelity="library",
    paper="Zenke & Ganguli, Neural Computation 2018, as in norse's threshold(x, 'super', alpha=100)",
    link="https://norse.github.io/norse",
    note="norse 1.1.0 computes 1/(1 + |x|)^2 whatever alpha is: area 2",
    requires=["norse"],
)
class NorseSuperSpike(Surrogate):
    """h(x) = 1 / (1 + |x|)^2 as shipped; documented as 1 / (alpha |x| + 1)^2, alpha = 100."""

    def bind(self, site: Site) -> None:
        with warnings.catch_warnings():
            # norse 1.1.0 compiles functions with torch.jit.script when it is imported.
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            from norse.torch.functional.lif_box import LIFBoxParameters
            from norse.torch.functional.threshold import threshold

        super().bind(site)
        self.function, self.alpha = threshold, LIFBoxParameters().alpha

    def spike(self, x: Tensor, t: int, params: Values, noise: Tensor | None) -> Tensor:
        spikes: Tensor = self.function(x, "super", self.alpha)
        return spikes
