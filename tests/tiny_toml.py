"""A suite as a TOML file, as a user writes it: a small network on a few digits, trained in about a second."""

import json

SUITE = """
name = "tiny"
methods = {methods}
datasets = [{{ name = "digits", subset = 200 }}]
backbones = [{{ name = "mlp", width = 0.125 }}]
timesteps = [2]
seeds = {seeds}
times = false
[measure]
probe = "off"
descent = false
[recipe]
epochs = {epochs}
batch_size = 32
learning_rate = 0.01
[profile]
device = "cpu"
"""


def tiny_toml(methods, seeds, epochs=4):
    """The content of the file."""
    return SUITE.format(methods=json.dumps(methods), seeds=json.dumps(seeds), epochs=epochs)
