"""Init-conditioned: heights that are set once, before training, so that gradients are equal in all layers."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.surrogate import WIDTH, SearchContext, Site, Surrogate, Values, method

PASSES = 10
"""At most so many; one is enough for layers in a row at T = 1, others need a few."""
CLOSE = 0.01


@method(
    "init-conditioned",
    formula=r"h(x) = \frac{c_l}{\mathrm{width}} \mathbf{1}\left(|x| < \frac{\mathrm{width}}{2}\right), \quad "
    r"c_l: \; \mathrm{rms} \, \frac{\partial L}{\partial s_l} h_l = \mathrm{rms} \, \frac{\partial L}"
    r"{\partial s_{l+1}} h_{l+1}",
    kind="control",
    fidelity="reconstructed",
    paper="after Herranz-Celotti & Rouat, Stabilizing Spiking Neuron Training, 2022, whose condition IV asks "
    "that gradients neither grow nor shrink",
    link="https://arxiv.org/abs/2202.00282",
    note="does an adaptive method do more than equalise the layers at the start? The authors compute height "
    "and sharpness of a recurrent layer from its weights, for a potential that is uniform between its "
    "bounds. Here the gradients of one batch are measured before the first epoch, the width stays, and "
    "the last layer keeps its height",
    width=WIDTH,
)
class InitConditioned(Surrogate):
    """h(x) = c 1(|x| < width/2) / width; c, one a layer, makes gradients of equal size in all layers.

    The size is the root mean square, over a batch, its neurons and time steps, of the loss's gradient at
    the spikes times h. Before the first epoch, c of each layer but the last is multiplied by the size in the
    layer after it over its own, until all sizes are equal to 1 %, at most 10 times. It stays from then on.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)
    height: Tensor

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.register_buffer("height", torch.tensor(1 / float(self.values["width"])))

    def params(self, u: Tensor, t: int) -> Values:
        return {"width": self.values["width"], "height": self.height.to(u.dtype)}

    @classmethod
    def search(cls, layers: Sequence["InitConditioned"], context: SearchContext) -> None:
        batch = next(iter(context.batches()), None)
        if context.progress > 0 or batch is None:
            return
        for _ in range(PASSES):
            found = context.at_spikes(layers, *batch)
            sizes = torch.stack([layer.size(steps) for layer, steps in zip(layers, found, strict=True)])
            ratios = sizes[1:] / sizes[:-1]
            # What is silent here says nothing of its size.
            ratios = torch.where(ratios.isfinite() & (ratios > 0), ratios, 1.0)
            if ((ratios - 1).abs() < CLOSE).all():
                return
            for layer, ratio in zip(layers, ratios, strict=False):
                layer.height *= ratio

    def size(self, steps: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Root mean square of what passes h. steps: of each step x, and the gradient at the spikes."""
        passed = [g * shapes.rectangle(x, **self.params(x, t)) for t, (x, g) in enumerate(steps)]
        return torch.stack(passed).square().mean().sqrt()
