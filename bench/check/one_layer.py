"""Laws of the derivative, tested on `bench.measures.single_layer`, in float64 unless about dtypes."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.check.case import NO_SPIKES, Broken, Case, NoClaim
from bench.measures.single_layer import CHANNELS, Probe, properties_of
from bench.surrogate import REFERENCE_THRESHOLD


def forward(case: Case) -> str:
    """Spikes are exactly 1(x >= 0)."""
    if not case.spiking:
        return NO_SPIKES
    for dtype in (torch.float64, torch.float32):
        tiny = torch.finfo(dtype).smallest_normal
        x = torch.cat([_grid(), torch.tensor([-tiny, 0.0, tiny], dtype=torch.float64)]).to(dtype)
        _expect_heaviside(x[:, None].expand(-1, CHANNELS), case.probe(dtype=dtype).spikes(x))
    return ""


def _expect_heaviside(x: Tensor, spikes: Tensor) -> None:
    wrong = spikes != (x >= 0)
    if bool(wrong.any()):
        # Report the point nearest to the threshold: most implementations differ there.
        at = x[wrong].abs().argmin()
        raise Broken(f"spike = {spikes[wrong][at]:g} at x = {x[wrong][at]:g} ({x.dtype})")


def derivative(case: Case) -> str:
    """Autograd delivers the declared derivative, the slope of its primitive."""
    if not case.spiking:
        return NO_SPIKES
    probe, x = case.probe(), _grid()
    declared, primitive = probe.declared(x), case.method.primitive
    if declared is None and primitive is None:
        return NoClaim("it declares no derivative: autograd's is the definition")
    delivered, step = probe.gradient(x)[:, 0], 1e-8
    # At a jump of h, rounding decides the side, and a difference across the jump is not a derivative.
    jump = (probe.gradient(x + 2 * step) - probe.gradient(x - 2 * step))[:, 0].abs()
    calm = ~(jump > 1e-3 * delivered.abs().max())
    x, delivered = x[calm], delivered[calm]
    if declared is not None:
        _expect_equal(x, delivered, declared[:, 0][calm], "the declared derivative", 1e-9)
    if primitive is None:
        return ""
    params = probe.params(x)

    def smooth(at: Tensor) -> Tensor:
        value: Tensor = primitive(at[:, None].expand(-1, CHANNELS), **params)
        return value[:, 0].detach()

    high, low = smooth(x + step), smooth(x - step)
    slope = (high - low) / (2 * step)
    # The rounding error of the subtraction, relative to the tolerance.
    lost = 4 * torch.finfo(x.dtype).eps * high.abs().max() / step / 1e-5
    floor = torch.maximum(delivered.abs().max(), lost)
    _expect_equal(x, delivered, slope, "the slope of its primitive", 1e-5, floor=floor)
    return ""


def _expect_equal(
    x: Tensor, found: Tensor, expected: Tensor, what: str, rtol: float, floor: Tensor | float = 0.0
) -> None:
    """Raise Broken if the values differ. NaN equals NaN here: another law covers NaN."""
    error = (found - expected).abs()
    wrong = error > rtol * torch.maximum(expected.abs(), torch.as_tensor(floor)) + 1e-12
    wrong |= torch.isnan(found) != torch.isnan(expected)
    if bool(wrong.any()):
        at = torch.where(wrong, error.nan_to_num(torch.inf), -1).argmax()
        raise Broken(f"the gradient is {found[at]:.6g} at x = {x[at]:.6g}, {what} {expected[at]:.6g}")


def area(case: Case) -> str:
    """Area and height are as declared, at every threshold."""
    if not case.spiking:
        return NO_SPIKES
    probe = case.probe()
    x = torch.cat([_grid(), torch.zeros(1, dtype=torch.float64)])
    if not bool(torch.isfinite(_shape(probe, x)).all()):
        return NoClaim("the derivative is not finite: see finite")
    if "height" in case.method.params:
        for height in (1.0, 0.3):
            at_zero = _shape(case.probe(height=height), torch.zeros(1, dtype=torch.float64)).item()
            if abs(at_zero - height) > 1e-6 * height:
                raise Broken(f"h(0) = {at_zero:.6g} with height = {height:g}")
    declared = case.method.area
    if declared is None:
        return NoClaim("it declares no area")
    found = properties_of(lambda x: _shape(probe, x))
    if found.area is None or abs(found.area - declared) > 1e-3 * max(1.0, abs(declared)):
        area = found.problem if found.area is None else f"area {found.area:.4g}"
        raise Broken(f"{area}, declared {declared:g}")
    # A shape of fixed area that is h(x) at one threshold is h(x/2)/2 at twice that threshold. Parameters in
    # units of the potential are declared with per_threshold = 1, those in 1/potential with -1.
    if not case.method.params and not isinstance(case.method.target, type):
        return ""  # a function of x alone cannot know the threshold
    twice = Probe(case.method, threshold=2 * REFERENCE_THRESHOLD).eval()
    off = _grid() + 1.3e-3
    _expect_equal(
        off,
        2 * _shape(twice, 2 * off),
        _shape(probe, off),
        "scaled with the threshold it should be",
        1e-6,
        floor=1e-3,
    )
    return ""


def _shape(probe: Probe, x: Tensor) -> Tensor:
    """The declared derivative, or autograd's if none is declared."""
    declared = probe.declared(x)
    values = probe.gradient(x) if declared is None else declared.detach()
    return values.mean(1)


def finite(case: Case) -> str:
    """No NaN or Inf for |x| up to 1e4 in float32, bfloat16 and float16."""
    if not case.spiking:
        return NO_SPIKES
    far = torch.logspace(-4, 4, 81, dtype=torch.float64)
    x = torch.cat([-far.flip(0), _grid(), far]).sort().values
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        probe, low = case.probe(dtype=dtype), x.to(dtype)
        for what, values in (("gradient", probe.gradient(low)), ("spike", probe.spikes(low))):
            bad = ~torch.isfinite(values).all(1)
            if bool(bad.any()):
                at = low[bad].abs().argmin()
                raise Broken(f"the {what} is {values[bad][at].sum():g} at x = {low[bad][at]:g} ({dtype})")
    return ""


def dtype(case: Case) -> str:
    """The output keeps the dtype, shape and device of the input."""
    if not case.spiking:
        return NO_SPIKES
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
            probe = case.probe(dtype=dtype).to(device)
            x = torch.linspace(-1, 1, 9, device=device).to(dtype)
            found = {"spikes are": probe.spikes(x), "gradient is": probe.gradient(x)}
            declared = probe.declared(x)
            if declared is not None:
                found["the declared derivative is"] = declared
            for what, out in found.items():
                if out.dtype != dtype:
                    raise Broken(f"{what} {out.dtype} for an input of {dtype}")
                if out.shape != (9, CHANNELS) or out.device.type != device:
                    raise Broken(f"{what} {tuple(out.shape)} on {out.device} for (9, 2) on {device}")
    return ""


def _grid() -> Tensor:
    """A grid from -10 to 10, finer around the threshold; it contains all integers and halves."""
    inner = torch.arange(-400, 401, dtype=torch.float64) / 200
    outer = torch.arange(-200, 201, dtype=torch.float64) / 20
    points: Tensor = torch.cat([inner, outer]).unique()
    return points
