"""What docs/speed.py makes of figures of several machines."""

import runpy
from pathlib import Path

import pandas as pd
import pytest

SPEED = runpy.run_path(str(Path(__file__).parents[1] / "docs" / "speed.py"), run_name="speed")


def table(what, against):
    return pd.DataFrame([{"what": what, "subject": "ours", "against": against, "value": 1.0, "budget": None}])


@pytest.mark.parametrize(
    ("gpu", "name"), [(None, "A CPU"), ({"name": "A GPU", "memory_mb": 80_000}, "A GPU")]
)
def test_a_section_is_named_after_what_was_measured(gpu, name):
    assert SPEED["machine"]({"2026-01-01": {"cpu": "A CPU", "gpu": gpu}}) == name


def test_the_figure_is_of_a_cpu_even_where_a_gpu_was_measured_last():
    gpu = table("training step, resnet19, 3×32×32, batch 64, T = 4", None)
    cpu = table("training step, convnet, 3×32×32, batch 16, T = 2", "ReLU")
    rows = SPEED["drawn"]([gpu, cpu])
    assert list(rows["network"]) == ["convnet, 3×32×32, batch 16"] and list(rows["T"]) == [2]
    assert SPEED["drawn"]([gpu]) is None
