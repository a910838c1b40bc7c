"""Writes what `paper` takes into docs/speed.md: `python docs/hours.py`. Nothing is trained and no data read.

Everything between the two markers is replaced. The hours are those of `bench.runner.forecast`, for one
training at a time.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

from bench import registry
from bench.data.loading import Facts
from bench.model.compiling import suited
from bench.runner.forecast import training_seconds
from bench.runner.workload import Workload, Workloads
from bench.suite import Cell, MethodSpec, Suite, load_suite

PAGE = Path(__file__).resolve().parents[1] / "docs" / "speed.md"
BEGIN, END = "<!-- hours: begin -->", "<!-- hours: end -->"
TRAINED = {"cifar10": 45_000, "cifar100": 45_000, "cifar10-dvs": 8_100}
"""Training samples, without those for validation."""
PROFILES = {
    "float32, channels first, eager": {
        "tf32": False,
        "channels_last": False,
        "compile": "off",
        "autocast": "off",
    },
    "TF32, channels-last, `step` (`paper`)": {},
    "bfloat16, channels-last, `step` (`paper-bf16`)": {"autocast": "bfloat16"},
}
"""What each column changes of the profile of `paper`."""

Sized = list[tuple[Cell, Workload]]


def cells(suite: Suite, changes: dict[str, object]) -> Sized:
    """Every training of a suite on a GPU, with its size."""
    found = registry.load()
    workloads = Workloads(found)
    sized = []
    for matrix in suite.matrices:
        for dataset, backbone, timesteps in product(matrix.datasets, matrix.backbones, matrix.timesteps):
            declared = found.dataset(dataset.name).item
            assert declared.shape is not None and declared.classes is not None
            known = Facts("", declared.shape, declared.classes, "", train_samples=TRAINED[dataset.name])
            for method, seed in product(suite.methods, suite.seeds):
                kind = found.method(method.name).item.surrogate
                profile = suite.profile.model_copy(update={"device": "cuda", **changes})
                assert profile.compile != "auto"
                profile = profile.model_copy(update={"compile": suited(profile.compile, kind)})
                cell = Cell(
                    method=MethodSpec(name=method.name),
                    dataset=dataset,
                    backbone=backbone,
                    timesteps=timesteps,
                    recipe=matrix.recipes[0],
                    profile=profile,
                    measure=suite.measure,
                    seed=seed,
                )
                load = workloads.of(cell, known)
                assert load is not None
                sized.append((cell, load))
    return sized


def hours(sized: Sized) -> float:
    """All of them, one after another on one GPU."""
    return sum(training_seconds(cell, load) for cell, load in sized) / 3600


def section() -> str:
    """The table, a line a task, and what the two other suites take in all."""
    suite = load_suite("paper")
    by_profile = {name: cells(suite, changes) for name, changes in PROFILES.items()}
    tasks: dict[tuple[str, int], list[int]] = {}
    for number, (cell, _) in enumerate(by_profile[next(iter(PROFILES))]):
        tasks.setdefault((f"{cell.dataset.name} on {cell.backbone.name}", cell.timesteps), []).append(number)
    lines = [
        f"| task | trainings | epochs × steps | {' | '.join(PROFILES)} |",
        f"|---|---|---|{'---|' * len(PROFILES)}",
    ]
    for (name, timesteps), numbers in tasks.items():
        cell, load = by_profile[next(iter(PROFILES))][numbers[0]]
        epochs = cell.recipe.epochs
        told = [f"{hours([sized[i] for i in numbers]):,.0f} h" for sized in by_profile.values()]
        lines.append(
            f"| {name}, T = {timesteps} | {len(numbers)} | {epochs} × {load.steps // epochs} "
            f"| {' | '.join(told)} |"
        )
    told = [f"{hours(sized):,.0f} h" for sized in by_profile.values()]
    lines.append(f"| all of `paper` | {len(by_profile[next(iter(PROFILES))])} | | {' | '.join(told)} |")
    controls = cells(load_suite("paper-controls"), {})
    lines += ["", f"`paper-controls` has {len(controls)} trainings, and takes {hours(controls):,.0f} h."]
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the markers."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    PAGE.write_text(f"{before}{BEGIN}\n\n{section()}\n\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
