"""Dspike and DGS: one family of shapes, whose temperature is found by a search between epochs.

Both searches leave the network as it was, but for the temperatures: they work on copies of weights.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bench import primitives, shapes
from bench.model.layers import SpikeBlock
from bench.surrogate import Param, SearchContext, Site, Surrogate, Values, method

Weights = dict[str, Tensor]


class Tempered(Surrogate):
    """The shape with a temperature b, kept in the state_dict."""

    shape = staticmethod(shapes.dspike)
    primitive = staticmethod(primitives.dspike)
    b: Tensor

    def bind(self, site: Site) -> None:
        super().bind(site)
        self.register_buffer("b", torch.tensor(float(self.values["b"])))

    def params(self, u: Tensor, t: int) -> Values:
        return {"b": self.b, "support": 2 * self.site.neuron.threshold}


@method(
    "dspike",
    formula=r"h(x) = \frac{1}{2 v_{th}} \cdot \frac{b \, \mathrm{sech}^2(b z)}{2 \tanh(b/2)}, \quad z = "
    r"\frac{x}{2 v_{th}} \in \left[-\frac{1}{2}, \frac{1}{2}\right]",
    kind="adaptive",
    fidelity="reconstructed",
    paper="Li, Guo, Zhang, Deng, Hai & Gu, Differentiable Spike: Rethinking Gradient-Descent for Training "
    "Spiking Neural Networks, NeurIPS 2021",
    link="https://proceedings.neurips.cc/paper/2021/hash/c4ca4238a0b923820dcc509a6f75849b-Abstract.html",
    note="the shape and b = 3 as in code by co-authors; of the adaptation the step of b, the size of the "
    "difference and the sampling of weights are chosen here",
    b=Param(3.0, search=(1.0, 6.0)),
    step=Param(0.5),
)
class Dspike(Tempered):
    """h(x) = b sech^2(bz) / (2 tanh(b/2)) / (2 v_th), z = x / (2 v_th) in [-1/2, 1/2].

    Before each epoch b, b - step and b + step are tried on one batch, b one for all layers, at least
    1. The one whose gradient of the first layer's weights has the largest cosine with their finite
    difference gradient is kept. Central differences over the root mean square of the weights, at a
    random sample of them: 4 for each batch of the search's budget, from 8 to 64.
    """

    @classmethod
    def search(cls, layers: Sequence["Dspike"], context: SearchContext) -> None:
        names = _weights_of(layers, context.network)[0][:1]
        batch = next(iter(context.batches()), None)
        if not names or batch is None:
            return
        x, y = batch
        step, old = layers[0].values["step"], layers[0].b.clone()
        tried = [(old + change).clamp(min=1) for change in (0.0, -step, step)]
        with _left_as_it_was(context.network) as weights:
            size = weights[names[0]].numel()
            seed = layers[0].site.seed + round(1e6 * context.progress)
            order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
            sample = order[: max(8, min(64, 4 * context.budget))].to(old.device)
            true = torch.stack([_difference(context, weights, names[0], i, x, y) for i in sample])
            cosines = []
            for b in tried:
                _set(layers, [b] * len(layers))
                (gradient,) = _gradients(context, weights, names, x, y)
                cosines.append(float(torch.cosine_similarity(gradient.flatten()[sample], true, dim=0)))
        # The first of equals: without a difference b stays.
        _set(layers, [tried[cosines.index(max(cosines))]] * len(layers))


@method(
    "dgs",
    formula=r"h(x) = \frac{1}{2 v_{th}} \cdot \frac{b_l \, \mathrm{sech}^2(b_l z)}{2 \tanh(b_l/2)}, \quad "
    r"z = \frac{x}{2 v_{th}} \in \left[-\frac{1}{2}, \frac{1}{2}\right], \quad b_l \in [1, 6]",
    kind="adaptive",
    fidelity="reconstructed",
    paper="Che, Leng, Zhang, Zhang, Meng, Cheng, Guo & Liao, Differentiable hierarchical and surrogate "
    "gradient search for spiking neural networks, NeurIPS 2022",
    link="https://papers.nips.cc/paper_files/paper/2022/hash/9e8c2895db691eaab85af37bddee75aa-Abstract-Conference.html",
    note="the surrogate search alone, in given networks, after the authors' code and not all of it: weights "
    "are mixed, there the normalised currents; one step of the mixing a batch, there one after each of the "
    "five trials, which favours the first; trial steps are plain gradient descent at the code's first rate, "
    "there the weights' own optimizer; h is symmetric around the threshold; at most a tenth of an epoch's "
    "batches, there 200",
    b=Param(3.0, search=(1.0, 6.0)),
)
class Dgs(Tempered):
    """h(x) as in dspike; b of each layer moves by -0.4, -0.2, 0, 0.2 or 0.4 every 5 epochs, within 1 to 6.

    For each batch and each change, all layers take one trial step of their weights with that change.
    Then every layer runs with the sum of its trial weights, mixed by softmax(a), and a takes a step of
    Adam against the loss. The change with the largest sum of softmax(a) over the batches is kept.
    """

    EVERY, RATE, ADAM_RATE, START = 5, 0.025, 0.01, 1e-3
    CHANGES = (-0.4, -0.2, 0.0, 0.2, 0.4)

    @classmethod
    def search(cls, layers: Sequence["Dgs"], context: SearchContext) -> None:
        epoch = round(context.progress * max(1, layers[0].site.epochs - 1))
        if epoch == 0 or epoch % cls.EVERY:
            return
        owned = _weights_of(layers, context.network)
        names = [name for own in owned for name in own]
        if not names:
            return
        before = [layer.b.clone() for layer in layers]
        mixing = torch.zeros(len(layers), len(cls.CHANGES), device=before[0].device, requires_grad=True)
        adam, total = torch.optim.Adam([mixing], lr=cls.ADAM_RATE), torch.zeros_like(mixing)
        for x, y in context.batches():
            with _left_as_it_was(context.network) as weights:
                trials: list[Weights] = []
                for change in cls.CHANGES:
                    _set(layers, [(b + change).clamp(1, 6) for b in before])
                    slopes = _gradients(context, weights, names, x, y)
                    trials.append({n: weights[n] - cls.RATE * g for n, g in zip(names, slopes, strict=True)})
                _set(layers, before)
                mixing.data.fill_(cls.START)
                mixed = dict(weights)
                for own, share in zip(owned, mixing.softmax(1), strict=True):
                    for name in own:
                        stacked = torch.stack([trial[name] for trial in trials], -1)
                        mixed[name] = (stacked * share.to(stacked.dtype)).sum(-1)
                loss = context.loss(functional_call(context.network, mixed, (x,)), y)
                (mixing.grad,) = torch.autograd.grad(loss, [mixing])
                adam.step()
                total += mixing.detach().softmax(1)
        changes = torch.tensor(cls.CHANGES, device=total.device)[total.argmax(1)]
        _set(layers, [(b + change).clamp(1, 6) for b, change in zip(before, changes, strict=True)])


def _set(layers: Sequence[Tempered], values: Sequence[Tensor]) -> None:
    for layer, b in zip(layers, values, strict=True):
        layer.b.copy_(b)


def _weights_of(layers: Sequence[Tempered], network: nn.Module) -> list[list[str]]:
    """Of each layer the names of the parameters of synapse and norm before it, the synapse's first."""
    owned: dict[Surrogate, list[str]] = {}
    for name, block in network.named_modules():
        if isinstance(block, SpikeBlock):
            parts = [f"{name}.{i}.{own}" for i in (0, 1) for own, _ in block[i].named_parameters()]
            owned[block.neuron.surrogate] = parts
    # A neuron that stands outside a block has no weights of its own: its temperature stays.
    return [owned.get(layer, []) for layer in layers]


@contextmanager
def _left_as_it_was(network: nn.Module) -> Iterator[Weights]:
    """Copies of the weights to work with; buffers, which a forward pass may change, are put back."""
    buffers = {name: value.clone() for name, value in network.named_buffers()}
    try:
        yield {name: value.detach().clone() for name, value in network.named_parameters()}
    finally:
        for name, value in network.named_buffers():
            value.copy_(buffers[name])


def _gradients(
    context: SearchContext, weights: Weights, names: Sequence[str], x: Tensor, y: Tensor
) -> tuple[Tensor, ...]:
    """The gradient of the loss with respect to the named weights, through the surrogate."""
    chosen = [weights[name].detach().requires_grad_() for name in names]
    swapped = {**weights, **dict(zip(names, chosen, strict=True))}
    loss = context.loss(functional_call(context.network, swapped, (x,)), y)
    return torch.autograd.grad(loss, chosen)


@torch.no_grad()
def _difference(
    context: SearchContext, weights: Weights, name: str, index: Tensor, x: Tensor, y: Tensor
) -> Tensor:
    """The central difference of the loss along one weight."""
    size = weights[name].square().mean().sqrt()
    losses = []
    for sign in (1, -1):
        moved = weights[name].clone()
        moved.view(-1)[index] += sign * size
        losses.append(context.loss(functional_call(context.network, {**weights, name: moved}, (x,)), y))
    return (losses[0] - losses[1]) / (2 * size)
