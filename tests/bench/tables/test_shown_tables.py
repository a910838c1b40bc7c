"""The measured tables for people."""

import io

import pytest
from rich.console import Console
from written_records import runs

from bench.tables.results import Results
from bench.tables.text import readable, render_tables

TIMES = {"forward_ms_p50": 1.0, "backward_ms_p50": 2.0, "step_ms_p50": 3.0, "compile_s": 0.0}


def shown(which, records, layer_times=()):
    table = Results(records, layer_times=layer_times).tables[which]
    console = Console(width=200, file=io.StringIO(), record=True)
    render_tables.show(which, table, console)
    return console.export_text(), readable.markdown_of(render_tables.blocks(which, table))


def measured(*arguments, **more):
    records = runs(*arguments, **more)
    for record in records:
        record["metrics"] |= {"available_fraction": 0.25, "energy_uj": 0.5, "train_seconds": 2.0}
    return records


@pytest.mark.parametrize("which", ["gradients", "cost"])
def test_variants_of_a_method_stand_below_each_other_and_networks_apart(which):
    text, markdown = shown(
        which,
        [
            *measured("rectangle", [98.0]),
            *measured("rectangle", [98.0], "width=0.5"),
            *measured("rectangle", [98.0], "backbone.neuron=plif"),
        ],
    )
    titles = [line[4:] for line in markdown.splitlines() if line.startswith("### ")]
    assert titles == ["digits · convnet · T = 4", "digits · convnet · T = 4 · backbone.neuron=plif"]
    first, second = markdown.split("### ")[1:]
    assert "| rectangle |" in first and "| rectangle (width=0.5) |" in first
    assert second.count("| rectangle |") == 1
    assert all(title in " ".join(text.split()) for title in titles)


def test_a_layer_has_a_block_of_its_own():
    where = {"method": "rectangle", "variant": "batch=100 units=512 eager", "timesteps": 2}
    layers = [{**where, **TIMES, "hardware": "AMD EPYC, 1 thread"}]
    text, markdown = shown("latency", measured("rectangle", [98.0]), layers)
    network, layer = markdown.split("### ")[1:]
    assert layer.startswith("none · neuron · T = 2 · batch=100 · units=512 · eager · AMD EPYC, 1 thread\n")
    assert "layer forward, ms" in layer and "layer" not in network
    assert "| rectangle | fixed | 1 | 2 | 3 |" in layer
    assert "training, s" in network and "nan" not in text.lower()


def test_a_table_without_rows_shows_nothing():
    text, markdown = shown("gradients", [])
    assert (text, markdown) == ("", "")
