"""PDSG: a Gaussian whose width and centre follow the spread of each channel's potential."""

import torch
from torch import Tensor

from bench import shapes
from bench.surrogate import Surrogate, Values, method


def shifted(x: Tensor, sigma: Tensor) -> Tensor:
    """h(x) = N(x; sigma/2, sigma^2)."""
    return shapes.gaussian(x - sigma / 2, shapes.GAUSSIAN_FWHM * sigma)


@method(
    "pdsg",
    formula=r"h(x) = \mathcal{N}\left(x; \frac{\sigma}{2}, \sigma^2\right), \quad \sigma = "
    r"\mathrm{std}(u_c[0..t])",
    kind="adaptive",
    fidelity="official-code",
    paper="Lun et al., Towards Effective and Sparse Adversarial Attack on Spiking Neural Networks via "
    "Breaking Invisible Surrogate Gradients, CVPR 2025",
    link="https://arxiv.org/abs/2503.03272",
    note="made to attack trained networks, and here used to train them. Where a channel's potentials are all "
    "equal sigma is v_th, as 1 in the code, whose threshold is 1",
)
class Pdsg(Surrogate):
    """h(x) = N(x; s/2, s^2), s the standard deviation of the channel's u over batch, space and steps 0..t.

    s is that of a sample (n - 1), without gradient. h is largest above the threshold, at s/2.
    """

    shape = staticmethod(shifted)
    mean: Tensor
    variance: Tensor  # over n, as the mean of the steps so far

    def params(self, u: Tensor, t: int) -> Values:
        across = (0, *range(2, u.ndim))
        variance, mean = torch.var_mean(u.detach(), across, correction=0, keepdim=True)
        if t == 0:
            self.mean, self.variance = mean, variance
        else:
            # Every step has as many potentials: the moments of all are those of two groups, t to 1.
            apart = mean - self.mean
            self.variance = (t * self.variance + variance + apart.square() * t / (t + 1)) / (t + 1)
            self.mean = self.mean + apart / (t + 1)
        count = (t + 1) * u.numel() // u.shape[1]
        sigma = (self.variance * (count / max(count - 1, 1))).sqrt()
        return {"sigma": torch.where(sigma == 0, self.site.neuron.threshold, sigma)}
