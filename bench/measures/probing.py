"""When and what to probe during the training of one cell; probing never changes the training.

A probe that fails, for example out of memory, is noted and does not stop the training.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor

from bench.data.batches import Batches, as_input
from bench.data.loading import Prepared
from bench.measures import cost, descent, gradients
from bench.model.backbone import Network
from bench.model.copying import copied
from bench.model.precision import FULL, Precision
from bench.randomness import derive, drawing_from
from bench.records.run_columns import run_columns
from bench.suite import Cell

Result = TypeVar("Result")
SAMPLES = 256
"""Validation samples in one probe batch."""
FEW = 2
"""Enough samples to find which weights feed which layer."""
BATCHES = 5
"""The maximum number of probe batches. Gradients use the first, descent uses all."""
STATE = ("layers", "unmeasured", "seconds", "_relu_rows", "_found", "_feeding")
"""The attributes of `Looks` that training changes."""


class Looks:
    """The probes of one network in training.

    relu: builds the same network with ReLU in place of its neurons, with the same initial weights.
    precision: that of the training.
    layers: the rows of `bench.measures.gradients`.
    unmeasured: what failed, and why.
    """

    def __init__(
        self,
        cell: Cell,
        data: Prepared,
        network: Network,
        relu: Callable[[], Network],
        precision: Precision = FULL,
    ) -> None:
        self.cell = cell
        self.precision = precision
        self.network = network
        self.relu = relu
        self.layers: list[gradients.Row] = []
        self.unmeasured: dict[str, str] = {}
        self.seconds = 0.0
        self._relu_rows: list[gradients.Row] = []
        self._found: dict[str, Any] = {}
        self._feeding: list[list[str]] | None = None
        self._rows = probe_rows(len(data.val))
        self._device = torch.device(cell.profile.device)
        self._data = data

    def state(self) -> dict[str, Any]:
        """What the probes have found so far, ready for JSON."""
        return {name: getattr(self, name) for name in STATE}

    def load(self, state: dict[str, Any]) -> None:
        """Take over what the probes of the same training found before it was stopped."""
        for name in STATE:
            setattr(self, name, state[name])

    def before(self) -> None:
        """Probe the network before training, in the state in which the first epoch starts."""
        measure, start = self.cell.measure, self.network
        if measure.probe == "off" and not measure.descent and not measure.finite_differences:
            return
        with self._attempt("start"):
            # On a copy: a method may count calls of `on_epoch`.
            start = copied(self.network)
            for surrogate in start.surrogates:
                surrogate.on_epoch(0.0)
        if measure.probe != "off":
            with self._attempt("gradients of ReLU"):
                x, y = next(self._batches())
                self._relu_rows = gradients.look(self.relu(), x, y, 0, self._seed, self.precision)
            with self._attempt("gradients"):
                x, y = next(self._batches())
                self.layers += gradients.look(start, x, y, 0, self._seed, self.precision)
        self._step_along(start, "_before")

    def trained(self, epoch: int, sizes: Mapping[str, tuple[float, float]]) -> None:
        """Add the training's own gradients to the probe of the same weights, if there is one.

        epoch: the epoch that starts with these weights, from 0.
        sizes: those of its first batch, as returned by `bench.measures.training_gradients`.
        """
        beside = [row for row in self.layers if row["epoch"] == epoch]
        if not beside:
            return
        with self._attempt("gradients in training"):
            if self._feeding is None:
                x, _ = next(self._batches())
                self._feeding = gradients.feeding(self.network, x[:FEW])
            ratios = [_ratio([sizes[name] for name in names]) for names in self._feeding]
            for row in beside:
                row["training_gradient_ratio"] = ratios[row["layer"]]

    def after(self, epoch: int) -> None:
        """Probe the network after an epoch; epochs count from 0."""
        last = epoch == self.cell.recipe.epochs - 1
        if self.cell.measure.probe == "all" or (last and self.cell.measure.probe == "ends"):
            with self._attempt("gradients"):
                x, y = next(self._batches())
                self.layers += gradients.look(self.network, x, y, epoch + 1, self._seed, self.precision)
        if last:
            self._step_along(self.network, "")

    def at_cost(self, evaluate: Callable[[], Result]) -> Result:
        """The result of evaluating the test set; counts the network's operations at the same time.

        If they cannot be counted, the network is evaluated without.
        """
        found: list[Result] = []
        with self._attempt("cost"), cost.counting(self.network) as counts:
            found.append(evaluate())
            self._found |= counts.per_sample()
        return found[0] if found else evaluate()

    def metrics(self) -> dict[str, Any]:
        """The columns of the record."""
        found = dict(self._found)
        if self.layers:
            with self._attempt("gradients"):
                found |= run_columns(self.layers, self._relu_rows)
        return found | {"probe_seconds": round(self.seconds, 3)}

    def _step_along(self, network: Network, suffix: str) -> None:
        trained = self.cell.recipe.epochs * len(self._data.train)
        if self.cell.measure.descent:
            with self._attempt("descent"):
                batches = list(self._batches())
                passes = descent.gain_passes(sum(len(y) for _, y in batches))
                descent.afford(network, batches[0][0], passes, trained, self.cell.profile)
                gains = descent.descent_gains(network, batches, self._seed)
                self._found |= {f"{name}{suffix}": value for name, value in gains.items()}
        if self.cell.measure.finite_differences:
            with self._attempt("finite differences"):
                x, y = next(self._batches())
                passes = descent.agreement_passes(len(y))
                descent.afford(network, x, passes, trained, self.cell.profile)
                agreement = descent.finite_difference_agreement(network, x, y, self._seed)
                self._found[f"finite_difference_agreement{suffix}"] = agreement
        if self._device.type == "cuda":
            # The copy of the network is in a reference cycle, and its memory is split into blocks that
            # training does not reuse.
            gc.collect()
            torch.cuda.empty_cache()

    @property
    def _seed(self) -> int:
        return derive(self.cell.seed, "looks")

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        # Read on the CPU: a few samples do not need the whole split on the device.
        for x, y, _ in Batches(self._data.val, torch.device("cpu")).of(self._rows):
            yield as_input(x.to(self._device), self._data.dataset, self.cell.profile), y.to(self._device)

    @contextmanager
    def _attempt(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            # Building a network reseeds torch's generator, which some methods draw from in training.
            with drawing_from(self._seed, self._device):
                yield
        except Exception as problem:
            self.unmeasured[what] = f"{type(problem).__name__}: {problem}"
        self.seconds += time.perf_counter() - began


def _ratio(sizes: Sequence[tuple[float, float]]) -> float | None:
    """Gradient length over weight length, of all these weights together; None if not finite."""
    gradient, weights = (
        (math.hypot(*lengths) for lengths in zip(*sizes, strict=True)) if sizes else (0.0, 1.0)
    )
    ratio = gradient / (weights or 1.0)
    return ratio if math.isfinite(ratio) else None


def probe_rows(samples: int) -> list[Tensor]:
    """Rows of the validation set, one tensor per probe batch; disjoint, and the same for every method.

    With fewer than SAMPLES samples, one batch holds them all.
    """
    order = torch.randperm(samples, generator=torch.Generator().manual_seed(derive(0, "probe")))
    whole = max(1, min(BATCHES, samples // SAMPLES))
    return [order[i * SAMPLES : (i + 1) * SAMPLES] for i in range(whole)]
