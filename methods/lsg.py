"""LSG: the rectangle's width follows the decay that the neuron learns."""

import torch
from torch import Tensor

from bench import primitives, shapes
from bench.errors import BenchError
from bench.surrogate import Site, Surrogate, Values, method


@method(
    "lsg",
    formula=r"h(x) = \frac{1}{k} \mathbf{1}\left(|x| < \frac{k}{2}\right), \quad k = 2 v_{th} \sqrt{1 + "
    r"\tau^2}",
    kind="adaptive",
    paper="Lian, Shen, Liu, Wang, Yan & Tang, Learnable Surrogate Gradient for Direct Training Spiking "
    "Neural Networks, IJCAI 2023",
    link="https://doi.org/10.24963/ijcai.2023/335",
    note="equal to mpd-agl where the mean gamma is 1 and t >= 1",
)
class Lsg(Surrogate):
    """h(x) = 1(|x| < k/2) / k, k = 2 v_th sqrt(1 + tau^2).

    tau is the layer's learned decay, sigmoid(w) of PLIF, without gradient here: it is learned through
    the forward pass. The paper's beta -> tau, kappa -> k.
    """

    shape = staticmethod(shapes.rectangle)
    primitive = staticmethod(primitives.rectangle)

    def bind(self, site: Site) -> None:
        """Raises BenchError for a neuron whose decay is not learned."""
        if not isinstance(site.neuron.decay, Tensor):
            raise BenchError(
                f"lsg needs neurons that learn their decay; {site.name} has a constant one: "
                "set neuron = 'plif', or choose another method"
            )
        super().bind(site)

    def params(self, u: Tensor, t: int) -> Values:
        tau = torch.as_tensor(self.site.neuron.decay).detach()
        return {"width": 2 * self.site.neuron.threshold * torch.sqrt(1 + tau**2)}
