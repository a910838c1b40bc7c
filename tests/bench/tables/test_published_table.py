"""Published beside measured: which rows there are, what is compared, and what is said to differ."""

import random
import statistics

import pandas as pd
import pytest
from written_records import FAIR, GOOD, POOR, runs

from bench.suite import Cell, MethodSpec, load_suite
from bench.tables.columns import csv
from bench.tables.published import Published
from bench.tables.published_table import published_of
from bench.tables.results import Results
from bench.tables.rows import rows
from bench.tables.text import formats, readable, render_tables
from bench.variants import variant

TASK = ("cifar10", "resnet19", 2)
RECIPE = {
    "epochs": 150,
    "batch_size": 100,
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "momentum": 0.9,
    "weight_decay": 1e-4,
    "schedule": "cosine-epochs",
    "augment": "auto",
}
NEW = {"loss": "mean", "label_smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0, "erasing": 0.0}
"""What records leave out at its default."""
NEURON = {"neuron": "plif", "reset": "zero", "threshold": 0.5, "decay": 0.2}
KNOWN = {
    **RECIPE,
    **NEW,
    **NEURON,
    "validation": "held out",
    "chosen_by": "validation",
}
UNKNOWN = dict.fromkeys((*KNOWN, "params", "differs", "note", "accuracy_sd", "runs"))


def number(method="rectangle", **more):
    there = {"method": method, "year": 2025, "accuracy": 96.0, "source": "A paper", "source_kind": "primary"}
    place = dict(zip(("dataset", "backbone", "timesteps"), TASK, strict=True))
    return Published.model_validate(UNKNOWN | there | place | more)


def trained(
    method="rectangle", outcomes=GOOD, variant="backbone.neuron=plif", best=None, task=TASK, **recipe
):
    """Records with a recipe, and a network of the kind that the paper has."""
    records = runs(method, outcomes, variant, task=task)
    for record in records:
        record["cell"]["recipe"] = RECIPE | recipe
        record["cell"]["backbone"] |= NEURON
        if best is not None and record["status"] == "ok":
            record["metrics"]["test_accuracy_best_epoch"] = record["metrics"]["test_accuracy"] + best
    return records


def at_width(width, method="rectangle", threshold=0.5, **more):
    """Records of a method at this width."""
    variant = "backbone.neuron=plif" if ":" in method else f"width={width:g} backbone.neuron=plif"
    records = trained(method, variant=variant, **more)
    for record in records:
        record["cell"]["method"]["params"] = {"width": width, "height": None}
        record["cell"]["backbone"]["threshold"] = threshold
    return records


def one(records, published):
    (line,) = published_of(rows(records), [published]).to_dict("records")
    return line


def test_mean_sd_and_gap_are_those_of_a_plain_loop():
    line = one(trained(), number())
    assert line["measured_mean"] == pytest.approx(statistics.fmean(GOOD))
    assert line["measured_sd"] == pytest.approx(statistics.stdev(GOOD))
    assert line["gap"] == pytest.approx(statistics.fmean(GOOD) - 96)
    assert (line["n_seeds"], line["measure"]) == (5, "test_accuracy")


def test_the_best_test_epoch_is_compared_where_it_was_noted():
    line = one(trained(best=0.5), number())
    assert line["measure"] == "test_accuracy_best_epoch"
    assert line["measured_mean"] == pytest.approx(statistics.fmean(GOOD) + 0.5)
    assert one(trained(best=0.5), number(chosen_by="validation"))["measure"] == "test_accuracy"
    last = one(trained(best=0.5), number(chosen_by="last epoch"))
    assert last["measured_mean"] == pytest.approx(statistics.fmean(GOOD) - 0.5)


def test_a_protocol_is_the_same_only_where_all_of_it_is_known_and_equal():
    line = one(trained(), number(**KNOWN))
    assert (line["same_protocol"], line["differs"]) == ("yes", "")


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_not_known_of_the_paper_is_named(name):
    line = one(trained(), number(**KNOWN | {name: None}))
    assert line["same_protocol"] == "unknown"
    assert line["differs"].startswith("unknown: ") and "," not in line["differs"]


def test_of_a_paper_of_which_nothing_is_known_that_is_said_shortly():
    told = one(trained(), number())["differs"]
    assert told == "unknown: recipe, neuron, validation data, choice of the epoch"


@pytest.mark.parametrize(
    ("paper", "told"),
    [
        ({"epochs": 300}, "epochs 150 against 300"),
        ({"optimizer": "adamw"}, "optimizer sgd against adamw"),
        ({"learning_rate": 0.05}, "learning rate 0.1 against 0.05"),
        ({"neuron": "lif"}, "neuron plif against lif"),
        ({"reset": "subtract"}, "reset zero against subtract"),
        ({"chosen_by": "best test epoch"}, "epoch chosen by validation against best test epoch"),
        ({"validation": "none"}, "part of the training data is kept for validation here"),
        ({"weight_decay": 0.0}, "weight decay 0.0001 against 0"),
        ({"loss": "tet"}, "loss mean against tet"),
        ({"label_smoothing": 0.1}, "label smoothing 0 against 0.1"),
        ({"mixup": 0.2}, "mixup 0 against 0.2"),
        ({"cutmix": 0.5}, "cutmix 0 against 0.5"),
        ({"erasing": 1.0}, "erasing 0 against 1"),
        ({"threshold": 1.0}, "threshold 0.5 against 1"),
        ({"decay": 0.5}, "decay 0.2 against 0.5"),
        ({"differs": "MP-Init in the paper"}, "MP-Init in the paper"),
    ],
)
def test_what_differs_from_the_paper_is_named(paper, told):
    line = one(trained(), number(**KNOWN | paper))
    assert (line["same_protocol"], line["differs"]) == ("no", told)


def test_what_a_run_has_of_smoothing_and_threshold_is_compared():
    records = trained(variant="backbone.neuron=plif backbone.threshold=1", label_smoothing=0.1)
    for record in records:
        record["cell"]["backbone"]["threshold"] = 1.0
    assert (
        one(records, number(**KNOWN | {"label_smoothing": 0.1, "threshold": 1.0}))["same_protocol"] == "yes"
    )
    told = one(records, number(**KNOWN))["differs"]
    assert told == "label smoothing 0.1 against 0; threshold 1 against 0.5"
    told = one(records, number(**KNOWN | {"label_smoothing": None, "threshold": None}))["differs"]
    assert told == "unknown: label smoothing, threshold"


def test_the_momentum_of_adamw_is_not_unknown():
    adamw = {"optimizer": "adamw", "momentum": None}
    assert one(trained(optimizer="adamw"), number(**KNOWN | adamw))["same_protocol"] == "yes"


KEPT = "part of the training data is kept for validation here"
BY_KERAS = (
    "RandAugment is KerasCV's in the authors' code, 1 operation with probability 0.5, of a magnitude that "
    "varies; 20 epochs of linear warm-up there; CutMix ends after 200 epochs there; "
    "unknown: mixup, validation data, choice of the epoch"
)


def of_suite(name, method, timesteps, **recipe):
    """Records of a method in the first task of a shipped suite, as a run leaves them."""
    suite = load_suite(name)
    first = suite.matrices[0]
    assert method in {entry.name for entry in suite.methods} and timesteps in first.timesteps
    cell = Cell(
        method=MethodSpec(name=method),
        dataset=first.datasets[0],
        backbone=first.backbones[0],
        timesteps=timesteps,
        recipe=first.recipes[0].model_copy(update=recipe),
        profile=suite.profile.model_copy(update={"device": "cuda"}),
        measure=suite.measure,
        seed=0,
    )
    task = (cell.dataset.name, cell.backbone.name, timesteps)
    records = runs(method, GOOD, variant(cell, {}, {}), task=task, kind="adaptive")
    for seed, record in enumerate(records):
        record["cell"] = cell.model_copy(update={"seed": seed}).model_dump()
        record["metrics"]["test_accuracy_best_epoch"] = record["metrics"]["test_accuracy"]
    return records


@pytest.mark.parametrize(
    ("suite", "method", "timesteps", "told"),
    [
        ("paper", "mpd-agl", 2, KEPT),
        ("paper-ds-atgo", "ds-atgo", 2, KEPT),
        ("paper-a2sg", "a2sg", 4, BY_KERAS),
    ],
)
def test_the_suite_of_a_paper_differs_from_it_only_in_what_no_key_says(suite, method, timesteps, told):
    def line(**recipe):
        table = published_of(rows(of_suite(suite, method, timesteps, **recipe)))
        (found,) = table[table["method"] == method].to_dict("records")
        return found

    assert (line()["differs"], line()["measure"]) == (told, "test_accuracy_best_epoch")
    stated = line(label_smoothing=0.3, erasing=0.7)["differs"]
    assert "label smoothing 0.3 against " in stated and "; erasing 0.7 against " in stated


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("backbone.neuron=plif subset=1000", "subset=1000 here"),
        ("backbone.neuron=plif backbone.width=0.5", "backbone.width=0.5 here"),
        ("width=0.5 backbone.neuron=plif", "width=0.5 here"),
        ("backbone.neuron=plif cuda", ""),
        ("backbone.neuron=plif cuda autocast=bfloat16", "autocast=bfloat16 here"),
    ],
)
def test_what_differs_from_the_defaults_here_is_named(variant, told):
    line = one(trained(variant=variant), number(**KNOWN))
    assert (line["differs"], line["same_protocol"]) == (told, "no" if told else "yes")


def test_a_recipe_that_tells_rows_apart_is_compared_by_itself():
    short = runs("rectangle", FAIR, "backbone.neuron=plif", task=TASK, configuration="f" * 16)
    for record in short:
        record["cell"]["recipe"] = RECIPE | {"epochs": 10}
        record["cell"]["backbone"] |= NEURON
    table = published_of(rows([*trained(), *short]), [number(**KNOWN)])
    assert sorted(table["differs"]) == ["", "epochs 10 against 150"]
    assert {variant.split()[-1] for variant in table["variant"]} == {"epochs=150", "epochs=10"}


def test_failed_runs_are_told_and_are_in_no_mean():
    line = one(trained(outcomes=(98.0, "failed", 97.0)), number(**KNOWN))
    assert (line["n_seeds"], line["measured_mean"]) == (2, 97.5)
    assert line["differs"] == "without 1 failed of 3 runs"
    none = one(trained(outcomes=("failed", "diverged")), number(**KNOWN))
    assert pd.isna(none["gap"]) and (none["n_seeds"], none["same_protocol"]) == (0, "")


def test_a_method_that_is_reconstructed_is_never_surely_the_published_one():
    records = trained()
    for record in records:
        record["method"]["fidelity"] = "reconstructed"
    line = one(records, number(**KNOWN))
    assert (line["same_protocol"], line["differs"]) == ("unknown", "unknown: parts of the method's rule")


def test_rows_are_those_of_equal_method_dataset_backbone_and_time_steps():
    records = [*trained(), *trained("mpd-agl"), *trained(task=("cifar10", "resnet19", 4))]
    elsewhere = {"backbone": "resnet18"}, {"dataset": "cifar100"}, {"timesteps": 6}
    numbers = [number(), number("psg"), *(number(**place) for place in elsewhere)]
    table = published_of(rows(records), numbers)
    found = list(table[["timesteps", "method", "variant", "n_seeds"]].itertuples(index=False, name=None))
    assert found[0] == (2, "rectangle", "backbone.neuron=plif", 5)
    assert found[1][:3] == (2, "psg", "") and pd.isna(found[1][3])
    assert len(found) == 2


def test_every_variant_and_every_source_has_a_row():
    records = [*trained(), *trained(variant="width=2 backbone.neuron=plif", outcomes=POOR)]
    table = published_of(rows(records), [number(), number(source="B", source_kind="secondary", accuracy=95)])
    assert list(zip(table["variant"], table["source"], strict=True)) == [
        ("backbone.neuron=plif", "A paper"),
        ("backbone.neuron=plif", "B"),
        ("width=2 backbone.neuron=plif", "A paper"),
        ("width=2 backbone.neuron=plif", "B"),
    ]


def test_a_number_with_parameters_is_compared_with_rows_of_these_alone():
    records = [*at_width(1.0), *at_width(2.0, outcomes=POOR)]
    numbers = [
        number(**KNOWN, params=f"width={w}", accuracy=a) for w, a in (("10", 30), ("2", 80), ("2.5", 90))
    ]
    table = published_of(rows(records), numbers)
    found = table[["variant", "params", "published", "same_protocol"]].itertuples(index=False, name=None)
    assert list(found) == [
        ("width=2 backbone.neuron=plif", "width=2", 80, "yes"),
        ("", "width=2.5", 90, ""),
        ("", "width=10", 30, ""),
    ]


def test_a_preset_named_after_a_value_is_the_method_at_that_value():
    preset = at_width(2.0, "rectangle:2")
    line = one(preset, number(**KNOWN, params="width=2"))
    assert (line["method"], line["same_protocol"], line["differs"]) == ("rectangle:2", "yes", "")
    for other in ({"params": "width=1"}, {"params": "width=unknown"}, {}):
        line = one(preset, number(**KNOWN, **other))
        assert (line["method"], line["variant"]) == ("rectangle", "")
    another_rule = at_width(2.0, "rectangle:window")
    assert one(another_rule, number(**KNOWN, params="width=2"))["variant"] == ""


def test_widths_are_compared_in_units_of_the_threshold():
    line = one(at_width(2.0, threshold=1.0), number(**KNOWN, params="width=1"))
    assert line["variant"] == "width=2 backbone.neuron=plif"
    assert one(at_width(1.0, threshold=1.0), number(**KNOWN, params="width=1"))["variant"] == ""


def test_a_parameter_that_the_source_does_not_give_is_unknown():
    line = one(at_width(2.0), number(**KNOWN, params="width=unknown"))
    assert (line["same_protocol"], line["differs"]) == ("unknown", "unknown: width")


def test_records_without_a_recipe_differ_in_nothing_that_is_known():
    assert one(runs("rectangle", GOOD, task=TASK), number(epochs=300))["same_protocol"] == "unknown"


def test_data_that_nobody_published_on_give_the_header_alone():
    assert csv(Results(runs("rectangle", GOOD)).tables["published"]).count("\n") == 1


def test_the_order_of_records_and_numbers_changes_no_byte():
    records = [*trained(), *trained("mpd-agl", FAIR), *trained("lsg", POOR)]
    numbers = [number(m, source=s) for m in ("rectangle", "lsg", "psg", "trsg") for s in ("A", "B")]
    first = csv(published_of(rows(records), numbers))
    random.Random(0).shuffle(records)
    random.Random(1).shuffle(numbers)
    assert csv(published_of(rows(records), numbers)) == first


def test_parameters_are_in_order_of_their_numbers_and_unknown_ones_last():
    given = ["width=unknown", "width=10", "width=2.5", "width=0"]
    table = published_of(rows(trained("lsg")), [number(params=params) for params in given])
    assert [*table["params"]][-4:] == given[::-1]


def test_in_a_paper_only_what_was_run_stands_beside_what_was_published():
    results = Results(trained("mpd-agl"))
    texts = {
        form: formats.to_paste(form, "published", results, suite="mine", command=["spikegrad"])
        for form in ("latex", "markdown")
    }
    assert "width=2.5" in texts["markdown"] and "Left out" not in texts["markdown"]
    assert "width=2.5" not in texts["latex"] and "96.18" in texts["latex"]
    left_out = len(results.tables["published"]) - 1
    assert f"Left out: {left_out} published numbers of methods that were not run." in texts["latex"]


def test_the_shipped_numbers_stand_beside_a_paper_suites_rows():
    table = Results([*trained(best=1.0), *trained("mpd-agl", best=1.0)]).tables["published"]
    mine = table.set_index("method").loc["mpd-agl"]
    assert (mine["published"], mine["source_kind"], mine["same_protocol"]) == (96.18, "secondary", "no")
    assert "epochs" not in mine["differs"]
    missing = table[table["variant"] == ""]
    assert {"lsg", "ds-atgo"} <= set(missing["method"])
    assert missing[["measured_mean", "gap", "n_seeds"]].isna().all(axis=None)


def test_what_was_not_run_stands_in_the_block_of_its_task():
    records = [*trained(), *trained(variant="width=2 backbone.neuron=plif")]
    text = readable.markdown_of(
        render_tables.blocks("published", published_of(rows(records), [number(), number("psg")]))
    )
    assert text.count("### ") == 1
    assert text.startswith("### cifar10 · resnet19 · T = 2 · backbone.neuron=plif\n")
    assert "| psg | 2025 | 96.00 | primary | – | – | – | – | – |" in text
    assert "| rectangle (width=2) |" in text
    assert "98.32 ± 0.48 | 5 | +2.32 | unknown |" in text


def test_published_parameters_have_a_column_where_a_number_has_some():
    numbers = [number(params="width=2"), number("psg")]
    text = readable.markdown_of(render_tables.blocks("published", published_of(rows(at_width(2.0)), numbers)))
    assert "| method | published at | year |" in text
    assert "| rectangle | width=2 | 2025 | 96.00 | primary | 98.32 ± 0.48 |" in text
    assert "| psg | – | 2025 |" in text
    plain = published_of(rows(trained()), [number()])
    assert "published at" not in readable.markdown_of(render_tables.blocks("published", plain))


def test_what_another_row_makes_a_row_say_is_no_difference_to_the_paper():
    published = number(**KNOWN)
    alone = one(trained(), published)
    others = trained("arctan")
    for record in others:
        record["cell"]["profile"] = {"channels_last": True, "device": "cuda"}
        record["cell"]["measure"] = {"probe": "off"}
    mine = trained()
    for record in mine:
        record["cell"]["profile"] = {"channels_last": False, "device": "cpu"}
        record["cell"]["measure"] = {"probe": "ends"}
    for record in (*mine, *others):
        record["digests"] = {"harness": "protocol 2" if record in others else "protocol 1"}
    beside = one([*mine, *others], published)
    assert (alone["same_protocol"], alone["differs"]) == (beside["same_protocol"], beside["differs"])
    assert "measure.probe=ends" in beside["variant"]
