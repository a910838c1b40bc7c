"""Captions: what a reader needs who sees one table and nothing else."""

import pytest
from written_records import FAIR, GOOD, POOR, runs

from bench.tables.results import Results
from bench.tables.text import readable
from bench.tables.text.captions import Captions

RECIPE = {
    "epochs": 14,
    "batch_size": 48,
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "weight_decay": 0.0,
    "schedule": "one-cycle",
    "augment": "standard",
}
TOLD = (
    "14 epochs, AdamW, learning rate 0.01 (one-cycle), weight decay 0, batches of 48, augmentation standard."
)


def trained(*arguments, recipe=RECIPE, **more):
    records = runs(*arguments, **more)
    for record in records:
        record["cell"]["recipe"] = recipe
    return records


def caption(records, heads=readable.HEADINGS, baseline="rectangle"):
    (told,) = captions_of(records, heads, baseline)
    return told


def captions_of(records, heads=readable.HEADINGS, baseline="rectangle"):
    results = Results(records, baseline)
    made = Captions("mine", results)
    blocks = readable.blocks(results.table("accuracy"), heads)
    return [f"{made.of('accuracy', block)} {made.note('accuracy', block)}" for block in blocks]


def test_a_caption_names_suite_task_protocol_seeds_baseline_and_design():
    records = [*trained("rectangle", GOOD), *trained("arctan", FAIR), *trained("bad", POOR)]
    told = caption(records)
    assert told.startswith("Test accuracy, suite mine: digits, convnet, T = 4. In percent, mean ±")
    assert f"{TOLD} Seeds 0 to 4. " in told
    assert "with the best validation accuracy" in told and "difference to rectangle" in told
    (note,) = Results(records).notes
    assert note.removeprefix("digits, convnet, T = 4: ") in told
    assert "3 methods, 3 pairs; with 80 % power" in told
    assert "p: of the same family" in told
    short = Captions("mine", Results(records)).of(
        "accuracy", *readable.blocks(Results(records).table("accuracy"))
    )
    assert len(short) < 200 and short.endswith("Bold: the methods that are indistinguishable from the best.")


def test_bold_is_explained_as_far_as_it_goes():
    tested = caption([*trained("rectangle", GOOD), *trained("arctan", FAIR)])
    assert "does not prove that they are equal" in tested
    untested = caption([*trained("rectangle", GOOD[:2]), *trained("arctan", FAIR[:2])])
    assert "no proof" not in untested and "p: of the same" not in untested
    assert "Nothing is bold: with fewer than 3 seeds in common nothing is tested" in untested
    equal = caption([*trained("rectangle", GOOD), *trained("arctan", GOOD[::-1])])
    assert (
        "Nothing is bold: no method is distinguishable from another; this design detects differences of"
        in equal
    )


@pytest.mark.parametrize("heads", [readable.HEADINGS, readable.PAPER_HEADINGS])
def test_rows_without_a_rank_are_explained_where_there_are_any(heads):
    records = [*trained("rectangle", GOOD), *trained("ann-relu", GOOD, kind="reference")]
    where = "Without a rank" if "rank" in heads else "Below the line"
    assert caption(records, heads).endswith(f"{where}: not compared with the best.")
    assert "not compared with the best" not in caption(records[:5], heads)


def test_another_baseline_is_the_one_that_is_named():
    records = [*trained("triangle", GOOD), *trained("arctan", FAIR)]
    told = caption(records, baseline="triangle")
    assert "difference to triangle" in told and "rectangle" not in told
    missing = caption(records)
    assert "No run of rectangle, so nothing is compared with it." in missing


def test_rows_of_two_recipes_are_two_tables_with_a_caption_each():
    sgd = RECIPE | {"optimizer": "sgd", "epochs": 1}
    records = [*trained("rectangle", GOOD), *trained("rectangle", FAIR, configuration="f" * 16, recipe=sgd)]
    told = captions_of(records)
    assert len(told) == 2 and any(f". {TOLD}" in each for each in told)
    assert any("1 epoch, SGD with momentum 0.9, learning rate 0.01" in each for each in told)


@pytest.mark.parametrize(
    ("recipe", "told"),
    [
        ({"decayed": "synapses", "weight_decay": 1e-3}, "weight decay 0.001 (synapses), batches of 48"),
        ({"label_smoothing": 0.1}, "augmentation standard, label smoothing 0.1. Seeds"),
        ({"mixup": 0.2, "erasing": 0.25}, "mixup 0.2 (alpha), erasing 0.25 (probability). Seeds"),
        ({"loss": "tet", "tet_weight": 1e-3}, "augmentation standard, loss tet, tet weight 0.001. Seeds"),
        ({"loss": "tet"}, "augmentation standard, loss tet. Seeds"),
        ({"augment": "rand"}, "augmentation rand. Seeds"),
        (
            {"augment": "rand", "rand_operations": 1, "rand_magnitude": 27, "cutmix": 0.5},
            "augmentation rand, rand operations 1, rand magnitude 27, cutmix 0.5 (alpha). Seeds",
        ),
        # As records of other versions may have them.
        ({"label_smoothing": 0.0, "decayed": "all", "loss": "mean", "tet_weight": 0.05}, f"{TOLD} Seeds"),
    ],
)
def test_options_of_a_recipe_are_named_where_they_are_not_the_default(recipe, told):
    assert told in caption(trained("rectangle", GOOD, recipe=RECIPE | recipe))


@pytest.mark.parametrize(
    ("seeds", "told"),
    [((0,), "Seed 0."), ((0, 1), "Seeds 0, 1."), ((3, 4, 5), "Seeds 3 to 5."), ((0, 2, 3), "Seeds 0, 2, 3.")],
)
def test_seeds_are_named(seeds, told):
    records = trained("rectangle", GOOD[: len(seeds)])
    for record, seed in zip(records, seeds, strict=True):
        record["cell"]["seed"] = seed
    assert f" {told} " in caption(records)


def test_records_without_a_recipe_have_none_in_the_caption():
    told = caption(runs("rectangle", GOOD))
    assert "epoch" not in told and " Seeds 0 to 4. " in told


def test_a_variant_is_found_by_its_whole_name():
    records = [
        *trained("rectangle", GOOD, "width=0.5 backbone.neuron=plif"),
        *trained("rectangle", FAIR, "backbone.neuron=plif"),
    ]
    told = caption(records)
    assert "T = 4, backbone.neuron=plif. " in told and f"{TOLD} Seeds 0 to 4." in told
