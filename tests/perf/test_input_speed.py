"""How much of an epoch on CIFAR-10 is spent outside the training step, with augmentation on.

The images are random, of CIFAR-10's size: neither reading nor augmenting looks at what is on them.
"""

import pytest
import torch

from bench import registry
from bench.data.loading import Prepared, with_ids
from bench.runner import train
from bench.suite import Cell

IMAGES, FEW = 300, 20


def cell(augment: str) -> Cell:
    return Cell.model_validate(
        {
            "method": {"name": "rectangle", "params": {"width": 1.0, "height": None}},
            "dataset": {"name": "cifar10"},
            "backbone": {"name": "resnet19", "width": 0.125, "neuron": "plif"},
            "timesteps": 2,
            "recipe": {
                "epochs": 1,
                "batch_size": 100,
                "learning_rate": 0.1,
                "optimizer": "sgd",
                "augment": augment,
                "schedule": "constant",
            },
            "profile": {"device": "cpu"},
            "seed": 0,
        }
    )


def trainer(augment: str, images: int) -> train._Trainer:
    found = registry.load()
    x = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8)
    split = with_ids(x, torch.arange(images) % 10, 0)
    data = Prepared("", (3, 32, 32), 10, "", found.dataset("cifar10").item, split, split, split)
    made = cell(augment)
    return train._Trainer(made, data, train.build(made, found, data))


@pytest.mark.benchmark(group="an epoch of CIFAR-10 under resnet19 at width 1/8, and its batches alone")
@pytest.mark.parametrize("augment", ["standard", "auto"])
@pytest.mark.parametrize("what", ["batches", "epoch"])
def test_input(benchmark, what, augment, measuring):
    torch.set_num_threads(1)
    made = trainer(augment, IMAGES if measuring else FEW)

    def batches() -> int:
        return sum(len(y) for _, y in made._batches(0, "order"))

    def epoch() -> float:
        return made._pass(0)

    run = {"batches": batches, "epoch": epoch}[what]
    assert benchmark.pedantic(run, rounds=3, warmup_rounds=1) > 0
