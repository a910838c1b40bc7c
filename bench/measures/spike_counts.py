"""Tracks which tensors hold spike counts, from the neurons to the layers that they feed.

A mark on a tensor says how many spikes each of its elements stands for. Moving and adding elements, maxima
and means propagate the mark; the results of all other operations are real numbers and have no mark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.weak import WeakIdKeyDictionary

from bench.errors import BenchError


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


SYNAPSES = _names("linear conv1d conv2d conv3d")
REFUSED = _names(
    "addbmm addmm addmv baddbmm bilinear bmm chain_matmul conv_tbc conv_transpose1d conv_transpose2d "
    "conv_transpose3d dot einsum embedding embedding_bag gru gru_cell inner lstm lstm_cell matmul mm "
    "multi_head_attention_forward mv outer rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell "
    "scaled_dot_product_attention tensordot"
)
"""Operations that multiply by weights, or activations with each other, in a way that is not counted here."""
EXACT_TERMS = 2**12
"""A sum of so many counts below 2**12 is exact in float32."""

Arguments = tuple[Any, ...]
Options = dict[str, Any]


@dataclass(frozen=True)
class Mark:
    """How many spikes the elements of a tensor stand for.

    whole: whether the tensor holds spike counts; a boolean on the tensor's device, to avoid synchronisation.
        If it is false, the values are real.
    counts: the numbers, in the shape of the tensor and never negative; None if they are the absolute values
        of the tensor itself.
    """

    whole: Tensor
    counts: Tensor | None = None

    def of(self, x: Tensor) -> Tensor:
        """The counts, given the tensor; signed if they are the tensor's own values."""
        return x if self.counts is None else self.counts


Offer = Mark | Sequence[Mark | None] | None
Rule = Callable[["Following", Any, Arguments, Options], Offer]


class Following(TorchFunctionMode):
    """While active, marks follow the operations.

    layer(name, x, mark, args, kwargs) is called for each convolution and linear layer before it is computed:
    x is its input, mark that of x. Raises BenchError if an operation is in REFUSED.
    """

    def __init__(self, layer: Callable[[str, Tensor, Mark | None, Arguments, Options], None]) -> None:
        super().__init__()
        self._layer = layer
        # With the versions of tensor and counts: an in-place write invalidates a mark.
        self._marks = WeakIdKeyDictionary()

    def mark(self, x: Tensor, mark: Mark) -> None:
        """Declare what x holds."""
        self._marks[x] = (mark, _versions(x, mark))

    def found(self, x: Tensor) -> Mark | None:
        """What x holds; None for real numbers."""
        mark, versions = self._marks.get(x, (None, ()))
        return mark if mark is not None and versions == _versions(x, mark) else None

    def __torch_function__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Options | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in REFUSED:
            raise BenchError(
                f"the operations of {name} cannot be counted: only those of conv and linear layers"
            )
        if name in SYNAPSES:
            x = _first(args, kwargs)
            self._layer(name, x, self.found(x), args, kwargs)
        rule = RULES.get(name)
        if rule is None:
            return func(*args, **kwargs)
        with torch.no_grad():
            # Before the operation, because some write to their arguments.
            offer = rule(self, func, args, kwargs)
        result = func(*args, **kwargs)
        if offer is not None:
            self._settle(result, offer)
        return result

    def _settle(self, result: Any, offer: Offer) -> None:
        results = result if isinstance(result, list | tuple) else [result]
        marks = [offer] * len(results) if isinstance(offer, Mark) else offer or []
        for each, mark in zip(results, marks, strict=True):
            if mark is not None and each.device == mark.whole.device:
                self.mark(each, mark)

    def together(self, args: Arguments, kwargs: Options) -> tuple[Tensor, bool] | None:
        """For all tensors among the arguments: whether they are whole, and whether they are their own counts.

        None if one of them has no mark, or there are none.
        """
        marks = [self.found(x) for x in _numbers((args, kwargs))]
        if not marks or any(mark is None for mark in marks):
            return None
        known = [mark for mark in marks if mark is not None]
        whole = known[0].whole if len(known) == 1 else torch.stack([mark.whole for mark in known]).all()
        return whole, all(mark.counts is None for mark in known)

    def swapped(self, value: Any) -> Any:
        """The arguments, with tensors replaced by their counts."""
        if isinstance(value, Tensor):
            mark = self.found(value)
            return value if mark is None else mark.of(value)
        if isinstance(value, list | tuple):
            # As an index, a list differs from a tuple.
            swapped = [self.swapped(each) for each in value]
            return swapped if isinstance(value, list) else tuple(swapped)
        if isinstance(value, dict):
            return {key: self.swapped(each) for key, each in value.items()}
        return value


def _moved(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    """The elements are moved, selected or repeated."""
    whole, own = following.together(args, kwargs) or (None, False)
    if whole is None:
        return None
    if own:
        return Mark(whole)
    counts = func(*following.swapped(args), **following.swapped(kwargs))
    if isinstance(counts, list | tuple):
        return [Mark(whole, each) for each in counts]
    return Mark(whole, counts)


def _kept(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    """The same elements in the same places."""
    return following.found(_first(args, kwargs))


def _dropped_out(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    def is_off(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> bool:
        return not training

    return _kept(following, func, args, kwargs) if is_off(*args, **kwargs) else None


def _padded(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    def adds_none(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> bool:
        return mode != "constant" or not value

    return _moved(following, func, args, kwargs) if adds_none(*args, **kwargs) else None


def _sum_of_two(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    if kwargs or len(args) != 2:
        return None
    first, second = args
    if not isinstance(second, Tensor):
        # Python's sum() starts with 0.
        return following.found(first) if second == 0 else None
    return _moved(following, torch.add, args, kwargs)


def _product(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    """Multiplied or divided by a constant, folded into the next weights; or whole times whole numbers."""
    if kwargs or len(args) != 2 or not isinstance(args[0], Tensor):
        return None
    x, factor = args
    mark = following.found(x)
    if mark is None:
        return None
    if isinstance(factor, Tensor) and factor.ndim:
        other = following.found(factor)
        own = other is not None and mark.counts is None and other.counts is None
        return Mark(mark.whole & other.whole) if own and other and "mul" in func.__name__ else None
    return Mark(mark.whole, _absolute(mark, x))


def _total(following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    """Sums and means over dimensions: the spikes in them are counted."""
    x = _first(args, kwargs)
    mark = following.found(x)
    if mark is None or "out" in kwargs:
        return None
    how = {key: value for key, value in kwargs.items() if key not in ("dtype", "input")}
    counts = _absolute(mark, x)
    total = torch.sum(counts, *args[1:], **how)
    if counts.numel() > EXACT_TERMS * total.numel():
        total = torch.sum(counts, *args[1:], **how, dtype=torch.float64)
    return Mark(mark.whole, total)


def _average_pool(dims: int, following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    return _windows(following, partial(_sum_pool, dims), args, kwargs)


def _adaptive_average_pool(
    dims: int, following: Following, func: Any, args: Arguments, kwargs: Options
) -> Offer:
    def pool(input: Tensor, output_size: Any) -> Tensor | None:
        sizes = input.shape[-dims:]
        wanted = output_size if isinstance(output_size, list | tuple) else [output_size] * dims
        outs = [size if out is None else out for size, out in zip(sizes, wanted, strict=True)]
        if any(size % out for size, out in zip(sizes, outs, strict=True)):
            # Windows of different sizes have different divisors.
            return None
        return _sum_pool(dims, input, [size // out for size, out in zip(sizes, outs, strict=True)])

    return _windows(following, pool, args, kwargs)


def _windows(following: Following, pool: Callable[..., Any], args: Arguments, kwargs: Options) -> Offer:
    x = _first(args, kwargs)
    mark = following.found(x)
    if mark is None:
        return None
    how = {key: value for key, value in kwargs.items() if key != "input"}
    counts = pool(_absolute(mark, x), *args[1:], **how)
    return None if counts is None else Mark(mark.whole, counts)


def _sum_pool(
    dims: int,
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Sums over the windows of an average pool."""
    sizes = kernel_size if isinstance(kernel_size, list | tuple) else [kernel_size] * dims
    if math.prod(sizes) > EXACT_TERMS:
        input = input.double()
    if dims == 3:
        return functional.avg_pool3d(input, kernel_size, stride, padding, ceil_mode, divisor_override=1)
    if dims == 2:
        return functional.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, divisor_override=1)
    kernel, step, pad = (
        (fill, *(each if isinstance(each, list | tuple) else (each,)))
        for fill, each in ((1, kernel_size), (1, stride or kernel_size), (0, padding))
    )
    flat = functional.avg_pool2d(input[..., None, :], kernel, step, pad, ceil_mode, divisor_override=1)
    return flat.squeeze(-2)


def _max_pool(dims: int, following: Following, func: Any, args: Arguments, kwargs: Options) -> Offer:
    x = _first(args, kwargs)
    mark = following.found(x)
    if mark is None or mark.counts is None:
        return mark
    name = func.__name__.removesuffix("_with_indices")
    how = {key: value for key, value in kwargs.items() if key != "return_indices"}
    _, chosen = getattr(functional, f"{name}_with_indices")(*args, **how)
    counts = mark.counts.flatten(-dims).gather(-1, chosen.flatten(-dims)).view(chosen.shape)
    indices_too = func.__name__ != name or kwargs.get("return_indices", False)
    return [Mark(mark.whole, counts), None] if indices_too else Mark(mark.whole, counts)


def _first(args: Arguments, kwargs: Options) -> Any:
    return args[0] if args else kwargs.get("input")


def _absolute(mark: Mark, x: Tensor) -> Tensor:
    return x.abs() if mark.counts is None else mark.counts


def _versions(x: Tensor, mark: Mark) -> tuple[int, int]:
    return x._version, 0 if mark.counts is None else mark.counts._version


def _numbers(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors inside arguments; others are indices."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, dict):
        yield from _numbers(list(value.values()))


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        _names(
            "view reshape flatten unflatten ravel transpose swapaxes swapdims permute movedim moveaxis t "
            "expand broadcast_to squeeze unsqueeze __getitem__ select narrow index_select unbind split chunk "
            "tensor_split stack cat concat concatenate flip roll repeat tile repeat_interleave "
            "channel_shuffle pixel_shuffle pixel_unshuffle"
        ),
        _moved,
    ),
    **dict.fromkeys(_names("clone contiguous detach to float double"), _kept),
    **dict.fromkeys(_names("add add_"), _sum_of_two),
    **dict.fromkeys(_names("mul multiply div divide true_divide"), _product),
    **dict.fromkeys(_names("sum mean"), _total),
    **dict.fromkeys(_names("dropout dropout1d dropout2d dropout3d"), _dropped_out),
    "pad": _padded,
}
for _dims in (1, 2, 3):
    RULES[f"avg_pool{_dims}d"] = partial(_average_pool, _dims)
    RULES[f"adaptive_avg_pool{_dims}d"] = partial(_adaptive_average_pool, _dims)
    for _name in (f"max_pool{_dims}d", f"adaptive_max_pool{_dims}d"):
        RULES[_name] = RULES[f"{_name}_with_indices"] = partial(_max_pool, _dims)
