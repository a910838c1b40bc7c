"""One cell in, its metrics out: the training protocol, the same for every method.

Accuracies are in percent. The test data is used once, after training has ended: for the weights after the
last epoch, and for those of the best validation epoch (the first on ties). A recipe that asks for the best
test epoch also evaluates it earlier; the result is one more metric and has no other effect. A tuning trial
has no test data.
"""

from __future__ import annotations

import copy
import json
import math
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.augment import augmentation, compose, erase
from bench.data.batches import Batches, as_input
from bench.data.loading import Facts, Prepared, Split
from bench.data.mixing import mix
from bench.loop import free_parameters, penalty, search_context
from bench.measures import training_gradients
from bench.measures.gradients import RELU
from bench.measures.probing import Looks
from bench.model import compiling
from bench.model.backbone import Network, build_network, synapses
from bench.model.layers import NeuronOptions
from bench.model.loss import Loss, loss_of, of_mean
from bench.model.precision import FULL, Precision
from bench.randomness import derive, drawing_from
from bench.records.anytime import timesteps_to_99
from bench.records.predictions import Predictions, of_numbers
from bench.registry import Registry
from bench.runner.checkpoints import Checkpoints, State, generators, set_generators
from bench.suite import Cell, Profile, Recipe
from bench.surrogate import Method, Surrogate, overrides

EVALUATION_BATCH = 256
"""The most samples per batch in evaluation."""

COMPILING = "compile"
"""The key under which an outcome says why a run was not compiled."""

Notify = Callable[[int, float], None]


class Diverged(Exception):
    """The loss became NaN or infinite: an outcome of the method, not a fault of the harness."""


@dataclass(frozen=True)
class Outcome:
    """The results of a finished run: the metrics of its record, two long tables, and predictions.

    epochs: a row per epoch. layers: a row per probe of the gradients, spiking layer and time step; see
    `bench.measures.gradients`. unmeasured: what could not be measured, with the reason. predictions: on the
    test set, with the weights of `test_accuracy`; None for a tuning trial.
    """

    metrics: dict[str, Any]
    epochs: list[dict[str, Any]]
    layers: list[dict[str, Any]]
    unmeasured: dict[str, str]
    predictions: Predictions | None


def build(cell: Cell, registry: Registry, known: Facts, instead: Method | None = None) -> Network:
    """The network of a cell with its initial weights, on the CPU, in the cell's dtype.

    known: the facts of its data. instead: a method, at its defaults, in place of the cell's; the
    initial weights are the same. Raises BenchError if method, backbone and data do not fit together.
    """
    b = cell.backbone
    options = NeuronOptions(b.neuron, b.norm, b.reset, b.detach_reset, b.threshold, b.decay)
    torch.manual_seed(derive(cell.seed, "weights"))
    network = build_network(
        registry.backbone(b.name).item,
        instead or registry.method(cell.method.name).item,
        {} if instead else cell.method.params,
        options,
        shape=known.shape,
        classes=known.classes,
        width=b.width,
        timesteps=cell.timesteps,
        epochs=cell.recipe.epochs,
        seed=derive(cell.seed, "method") % 2**40,
    )
    if cell.profile.channels_last is True:
        network = network.to(memory_format=torch.channels_last)
    return network.to(getattr(torch, cell.profile.dtype))


def train(
    cell: Cell,
    registry: Registry,
    data: Prepared,
    notify: Notify,
    checkpoints: Checkpoints | None = None,
) -> Outcome:
    """Train and evaluate one cell; notify(epoch, val_accuracy) is called after every epoch.

    checkpoints: the training goes on from the latest that can be used, and ends with the same numbers; on a
    GPU, as far as the GPU repeats them.

    Raises Diverged if the loss, a weight or the output becomes NaN or infinite, and whatever a method raises.
    """
    set_profile(cell.profile)
    for state in checkpoints or ():
        assert checkpoints is not None
        run = _Run(cell, registry, data)
        try:
            run.load(state)
        except Exception as problem:
            # A method's state can have changed its form in a way that its code does not show.
            checkpoints.refuse(f"after epoch {state.get('epoch')}", problem)
            continue
        checkpoints.epochs, checkpoints.seconds = run.first, run.seconds
        return run.finish(notify, checkpoints)
    run = _Run(cell, registry, data)
    run.looks.before()
    return run.finish(notify, checkpoints)


class _Run:
    """A training run and what it has collected so far.

    first: the epoch with which it goes on. seconds: what it had taken before, in other processes.
    """

    def __init__(self, cell: Cell, registry: Registry, data: Prepared) -> None:
        self.cell = cell
        self.network = build(cell, registry, data).to(cell.profile.device)
        # Some methods use these generators: a process's second seed must draw the same as when it runs alone.
        random.seed(derive(cell.seed, "python"))
        np.random.seed(derive(cell.seed, "numpy") % 2**32)
        self.trainer = _Trainer(cell, data, self.network)
        self.compile_seconds = self.trainer.compile()
        self.looks = Looks(
            cell,
            data,
            self.network,
            lambda: build(cell, registry, data, RELU).to(cell.profile.device),
            self.trainer.precision,
        )
        self.history: list[dict[str, Any]] = []
        self.best_accuracy, self.best_epoch = -1.0, -1
        self.best_state = copy.deepcopy(self.network.state_dict())
        self.tested: list[float] = []
        self.first = 0
        self.seconds = 0.0
        self.began = time.perf_counter()

    def state(self) -> State:
        """All of it, for a checkpoint."""
        return {
            "epoch": len(self.history) - 1,
            "network": self.network.state_dict(),
            "best": self.best_state,
            "trainer": self.trainer.state(),
            "generators": generators(self.trainer.device),
            # As JSON, which gives numbers back to the last bit, and knows NaN here.
            "collected": json.dumps(
                {
                    "history": self.history,
                    "best": [self.best_accuracy, self.best_epoch],
                    "tested": self.tested,
                    "looks": self.looks.state(),
                    "compile_seconds": self.compile_seconds,
                    "seconds": self.seconds + time.perf_counter() - self.began,
                }
            ),
        }

    def load(self, state: State) -> None:
        """Take over a state. Raises whatever fails; then this run cannot be used."""
        self.network.load_state_dict(state["network"])
        self.best_state = state["best"]
        self.trainer.load(state["trainer"])
        collected = json.loads(state["collected"])
        self.history, self.tested = collected["history"], collected["tested"]
        self.best_accuracy, self.best_epoch = collected["best"]
        self.looks.load(collected["looks"])
        self.compile_seconds += collected["compile_seconds"]
        self.seconds = collected["seconds"]
        self.first = len(self.history)
        set_generators(state["generators"], self.trainer.device)

    def finish(self, notify: Notify, checkpoints: Checkpoints | None) -> Outcome:
        """Train the remaining epochs and evaluate."""
        cell, trainer, looks, history = self.cell, self.trainer, self.looks, self.history
        for epoch in range(self.first, cell.recipe.epochs):
            history.append({"epoch": epoch, **trainer.epoch(epoch)})
            looks.trained(epoch, trainer.gradients)
            accuracy = history[-1]["val_accuracy"]
            if accuracy > self.best_accuracy:
                self.best_accuracy, self.best_epoch = accuracy, epoch
                self.best_state = copy.deepcopy(self.network.state_dict())
            if cell.recipe.best_test_epoch and not cell.trial:
                # The test data must influence nothing: a NaN output only means that there is no accuracy.
                with suppress(Diverged):
                    self.tested.append(trainer.accuracies(trainer.data.test)[-1])
            looks.after(epoch)
            if checkpoints is not None and checkpoints.due:
                checkpoints.save(epoch, self.state)
            notify(epoch, accuracy)
        return self._outcome()

    def _outcome(self) -> Outcome:
        cell, trainer, looks, history = self.cell, self.trainer, self.looks, self.history
        tests: dict[str, Any] = {}
        predicted = None
        if not cell.trial:
            tests, predicted = _tests(
                trainer, looks, self.best_state, best_is_last=self.best_epoch == len(history) - 1
            )
            tests["test_accuracy_best_epoch"] = max(self.tested, default=None)
        metrics = {
            **tests,
            "val_accuracy": self.best_accuracy,
            "best_epoch": self.best_epoch,
            "train_loss": history[-1]["train_loss"],
            "train_seconds": round(sum(row["train_seconds"] for row in history), 3),
            "search_seconds": round(sum(row["search_seconds"] for row in history), 3),
            "compile_seconds": round(self.compile_seconds, 3),
            "parameters": sum(p.numel() for p in self.network.parameters()),
            "spiking_layers": len(self.network.sites),
            "train_samples": len(trainer.data.train),
            "val_samples": len(trainer.data.val),
            **looks.metrics(),
        }
        unmeasured = looks.unmeasured | ({COMPILING: trainer.not_compiled} if trainer.not_compiled else {})
        return Outcome(metrics, history, looks.layers, unmeasured, predicted)


def _tests(
    trainer: _Trainer, looks: Looks, best_state: dict[str, Any], *, best_is_last: bool
) -> tuple[dict[str, Any], Predictions]:
    """The metrics on the test data, and the predictions; loads the weights of the best epoch."""
    split = trainer.data.test
    # Evaluation is repeatable: equal weights need one pass over the test data, not two.
    last = None if best_is_last else trainer.accuracies(split)
    trainer.network.load_state_dict(best_state)
    best, predicted = looks.at_cost(partial(trainer.evaluation, split))
    metrics = {
        "test_accuracy": best[-1],
        "test_accuracy_last": (last or best)[-1],
        "anytime_accuracy": best,
        "timesteps_to_99": timesteps_to_99(best),
        "test_samples": len(split),
    }
    return metrics, predicted


class _Trainer:
    """The state of one run between epochs.

    not_compiled: why it is not compiled although it should be. gradients: the sizes of weights and their
    gradients in the first batch of the last epoch.
    """

    def __init__(self, cell: Cell, data: Prepared, network: Network) -> None:
        self.cell = cell
        self.data = data
        self.network = network
        self.device = torch.device(cell.profile.device)
        splits = [data.train, data.val, *([] if cell.trial else [data.test])]
        self.batches = {id(split): Batches(split, self.device) for split in splits}
        self.kind: type[Surrogate] = type(network.surrogates[0])
        self.steps = len(_chunks(torch.arange(len(data.train)), cell.recipe.batch_size))
        self.precision = Precision(cell.profile)
        self.loss = loss_of(cell.recipe)
        self.optimizers = optimizers(network, cell.recipe)
        self.scheduler = _scheduler(cell.recipe, self.optimizers[0], self.steps)
        self.by_epoch = cell.recipe.schedule == "cosine-epochs"
        self.not_compiled = ""
        self.gradients: dict[str, tuple[float, float]] = {}

    def state(self) -> State:
        """What training steps change, apart from the network."""
        return {
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "precision": self.precision.state(),
            "not_compiled": self.not_compiled,
        }

    def load(self, state: State) -> None:
        """Take over a state."""
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.precision.load(state["precision"])
        if state["not_compiled"]:
            self.not_compiled = state["not_compiled"]
            compiling.install(self.network, "off", self.cell.recipe.batch_size)

    def compile(self) -> float:
        """Compile the training step as the profile says. Returns the seconds that it took."""
        mode = self.cell.profile.compile
        if mode == "auto":
            raise ValueError('compile = "auto" stands for another mode, which a plan chooses')
        if mode == "off":
            return 0.0
        with drawing_from(derive(self.cell.seed, "compile"), self.device):
            x, y = next(self._batches(0, "order"))
            seconds, self.not_compiled = compiling.prepare(
                self.network, mode, x, y, partial(trained_on, loss=self.loss), self.precision
            )
        return seconds

    def epoch(self, epoch: int) -> dict[str, Any]:
        """Train one epoch and validate. Returns the epoch's row."""
        progress = epoch / max(1, self.cell.recipe.epochs - 1)
        for surrogate in self.network.surrogates:
            surrogate.on_epoch(progress)
        began = time.perf_counter()
        self._search(epoch, progress)
        if self.device.type == "cuda" and overrides(self.kind, "search"):
            torch.cuda.synchronize(self.device)
        searched = time.perf_counter()
        rate = float(self.optimizers[0].param_groups[0]["lr"])
        loss = self._pass(epoch)
        trained = time.perf_counter()
        if not math.isfinite(loss):
            raise Diverged(
                f"the training loss became {loss} in epoch {epoch + 1} of {self.cell.recipe.epochs}"
            )
        self._check_weights(epoch)
        return {
            "learning_rate": rate,
            "train_loss": loss,
            "val_accuracy": self.accuracies(self.data.val)[-1],
            "search_seconds": searched - began,
            "train_seconds": trained - began,
        }

    def _pass(self, epoch: int) -> float:
        self.network.train()
        total = torch.zeros((), dtype=torch.float64)
        for number, (x, y) in enumerate(self._batches(epoch, "order")):
            loss = self._step(x, y, first=number == 0)
            if self.scheduler is not None and not self.by_epoch:
                self.scheduler.step()
            total = total.to(loss.device) + loss * len(y)
        if self.scheduler is not None and self.by_epoch:
            self.scheduler.step()
        return float(total) / len(self.data.train)

    def _step(self, x: Tensor, y: Tensor, *, first: bool) -> Tensor:
        """One step on a batch. first: whether it is the first of its epoch, whose gradients are recorded."""

        def look() -> None:
            self.gradients = training_gradients.sizes(self.network, self.precision.scale)
            if compiling.is_compiled(self.network):
                training_gradients.check_alive(
                    self.network,
                    self.gradients,
                    lambda twin: trained_on(twin, x, y, self.loss),
                    self.precision,
                )

        arguments = (self.network, self.optimizers, x, y, self.precision, look if first else None, self.loss)
        try:
            return step(*arguments)
        except Exception as problem:
            if not (compiling.is_compiled(self.network) and compiling.gave_up(problem)):
                raise
            self.not_compiled = compiling.give_up(self.network, problem)
        return step(*arguments)

    def _check_weights(self, epoch: int) -> None:
        # Spikes are 0 or 1 for any input, so NaN weights do not show in the loss.
        for name, weight in self.network.named_parameters():
            if not torch.isfinite(weight).all():
                raise Diverged(
                    f"{name} became NaN or infinite in epoch {epoch + 1} of {self.cell.recipe.epochs}"
                )

    def _search(self, epoch: int, progress: float) -> None:
        if not overrides(self.kind, "search"):
            return
        context = search_context(
            self.network, lambda: self._batches(epoch, "search"), self.steps, self.loss, progress
        )
        with compiling.eager(self.network), self.precision.forward():
            self.kind.search(self.network.surrogates, context)

    def _batches(self, epoch: int, purpose: str) -> Iterator[tuple[Tensor, Tensor]]:
        split, seed = self.data.train, self.cell.seed
        generator = torch.Generator().manual_seed(derive(seed, purpose, epoch))
        order = torch.randperm(len(split), generator=generator)
        recipe = self.cell.recipe
        # The plan refuses what the dataset does not have; "standard" can be absent.
        augment = augmentation(self.data.dataset.augment, recipe)
        erased = compose(erase(recipe.erasing)) if recipe.erasing else None
        for x, y, ids in self.batches[id(split)].of(_chunks(order, recipe.batch_size)):
            if augment is not None:
                x = augment(x, ids, epoch, seed)
            if erased is not None:
                x = erased(x, ids, epoch, derive(seed, "erase"))
            x = as_input(x, self.data.dataset, self.cell.profile)
            if recipe.mixup or recipe.cutmix:
                alphas = {"mixup": recipe.mixup, "cutmix": recipe.cutmix}
                x, y = mix(x, y, ids, epoch, seed, classes=self.data.classes, **alphas)
            yield x, y

    def accuracies(self, split: Split) -> list[float]:
        """Percent correct when the output is averaged over the first t steps, t = 1..T."""
        return self.evaluation(split)[0]

    def evaluation(self, split: Split) -> tuple[list[float], Predictions]:
        """The accuracies, and the predictions from the output over all steps, in the split's own order.

        Runs under a forked RNG: some library functions draw from torch's global generator in evaluation too,
        and the number of evaluations must not affect training.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(derive(self.cell.seed, "evaluation"))
            return self._evaluation(split)

    def _evaluation(self, split: Split) -> tuple[list[float], Predictions]:
        self.network.eval()
        labels, predicted = list[Tensor](), list[Tensor]()
        # Without gradients, four times the batch size needs less memory than a training step.
        size = min(EVALUATION_BATCH, 4 * self.cell.recipe.batch_size)
        chunks = torch.arange(len(split)).split(size)
        for x, y, _ in self.batches[id(split)].of(chunks):
            # [T, B, K], on the CPU: cumsum is not deterministic on a GPU, and these are few numbers.
            with self.precision.forward():
                logits = self.network(as_input(x, self.data.dataset, self.cell.profile)).cpu()
            # Sums over time in 16 bits would round.
            logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
            if not torch.isfinite(logits).all():
                raise Diverged("the network's output became NaN or infinite in evaluation")
            # Dividing by t would not change which logit is largest.
            predicted.append(logits.cumsum(0).argmax(-1))
            labels.append(y.cpu())
        label, over_time = torch.cat(labels), torch.cat(predicted, 1)
        correct = (over_time == label).sum(1)
        accuracies = [100 * int(c) / len(split) for c in correct]
        return accuracies, of_numbers(label.numpy(), over_time[-1].numpy(), self.data.classes)


def optimizers(network: Network, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """The recipe's optimizer, then the method's own optimizers for the parameters that it claims."""
    own = type(network.surrogates[0]).optimizers(network.surrogates)
    free = free_parameters(network, own)
    if recipe.decayed == "all":
        return [_optimizer(recipe, free), *own]
    decayed = {id(p) for p in synapses(network)}
    groups: list[dict[str, Any]] = [
        {"params": [p for p in free if id(p) in decayed]},
        {"params": [p for p in free if id(p) not in decayed], "weight_decay": 0.0},
    ]
    return [_optimizer(recipe, [group for group in groups if group["params"]]), *own]


def step(
    network: Network,
    optimizers: Sequence[torch.optim.Optimizer],
    x: Tensor,
    y: Tensor,
    precision: Precision = FULL,
    look: Callable[[], None] | None = None,
    loss: Loss = of_mean,
) -> Tensor:
    """One training step on a batch. Returns the recipe's loss, without the method's penalty, detached.

    y: labels [B], or shares of the classes [B, K]. look: called after the backward pass, before the weights
    are updated.
    """
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    with precision.forward():
        found = loss(network(x), y)
        whole = found + penalty(network.surrogates)
    precision.backward(whole)
    if look is not None:
        look()
    precision.update(optimizers)
    return found.detach()


def trained_on(network: Network, x: Tensor, y: Tensor, loss: Loss = of_mean) -> Tensor:
    """The loss that a training step minimises: the recipe's loss plus the method's penalty."""
    return loss(network(x), y) + penalty(network.surrogates)


def _chunks(order: Tensor, size: int) -> list[Tensor]:
    """Batches of `size`; the last can be smaller, but never one sample: batch statistics need two."""
    batches = list(order.split(size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def set_profile(profile: Profile) -> None:
    """Configure this process as the profile says: threads, determinism, TF32."""
    torch.set_num_threads(profile.threads)
    # cuBLAS needs this for reproducible products; it is read when CUDA starts in this process.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(profile.deterministic)
    # Otherwise deterministic mode fills new memory with NaN, to find reads of uninitialised values.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cuda.matmul.allow_tf32 = profile.tf32
    torch.backends.cudnn.allow_tf32 = profile.tf32


def _optimizer(
    recipe: Recipe, parameters: list[nn.Parameter] | list[dict[str, Any]]
) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return torch.optim.AdamW(parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _scheduler(
    recipe: Recipe, optimizer: torch.optim.Optimizer, steps: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    total = recipe.epochs * steps
    if recipe.schedule == "one-cycle":
        # By default OneCycleLR changes the momentum too, against the recipe.
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=total, cycle_momentum=False
        )
    if recipe.schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    if recipe.schedule == "cosine-epochs":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.epochs)
    return None
