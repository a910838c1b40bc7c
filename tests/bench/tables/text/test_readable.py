"""The texts of the accuracy table."""

from __future__ import annotations

from pathlib import Path

from written_records import GOOD, matrix, runs

from bench.tables.results import Results, save
from bench.tables.text import readable


def test_markdown() -> None:
    ceiling = runs("ann-relu", [99.9, 99.8, 99.9, 99.9, 99.6], kind="reference")
    records = [*matrix(), *ceiling]
    text = readable.markdown(Results(records).table("accuracy"))
    blocks = text.split("### ")[1:]
    assert [block.split("\n")[0] for block in blocks] == [
        "blobs · mlp · T = 2",
        "digits · convnet · T = 4",
        "digits · convnet · T = 10",
    ]
    lines = blocks[1].strip().split("\n")[2:]
    columns = [line.replace(r"\|", "").count("|") for line in lines]
    assert columns == [11] * len(lines) and len(lines) == 2 + 5
    best = "1–2", "rectangle", "fixed", "gradient", "paper", "**98.32** ± 0.48 (n = 5)", "–", "–", "–", "yes"
    assert lines[2] == f"| {' | '.join(best)} |"
    shown = "-0.86 [-1.43, -0.29]"
    second = (
        "2–3",
        "arctan",
        "fixed",
        "gradient",
        "paper",
        "97.46 ± 0.38 (n = 5)",
        shown,
        "0.012",
        shown,
        "no",
    )
    assert lines[3] == f"| {' | '.join(second)} |"
    assert "(n = 4, 1 failed)" in text and "(n = 4, 1 incomplete)" in text and r"mpd\|agl" in text
    assert "nan" not in text.lower() and readable.markdown(Results([]).table("accuracy")) == ""


def test_markdown_reads_the_same_from_disk(tmp_path: Path) -> None:
    from bench.tables import diff

    path = save(Results(matrix()).tables, tmp_path)[1]
    assert readable.markdown(diff.read(path)) == readable.markdown(Results(matrix()).table("accuracy"))


def test_what_all_variants_share_stands_in_the_title_alone() -> None:
    records = [
        *runs("rectangle", GOOD, "backbone.width=0.75 subset=200"),
        *runs("rectangle", GOOD, "width=0.5 backbone.width=0.75 subset=200"),
    ]
    (block,) = readable.blocks(Results(records).table("accuracy"))
    assert block.title == "digits · convnet · T = 4 · backbone.width=0.75 · subset=200"
    assert {line["method"] for line in block.lines} == {"rectangle", "rectangle (width=0.5)"}
    (other,) = readable.blocks(Results(runs("rectangle", GOOD)).table("accuracy"))
    assert (other.title, other.lines[0]["method"]) == ("digits · convnet · T = 4", "rectangle")


def test_other_options_of_the_network_or_the_data_are_another_table() -> None:
    variants = ["default", "backbone.reset=subtract", "backbone.neuron=plif dataset.alpha=1.0", "width=2"]
    found = Results([r for v in variants for r in runs("rectangle", GOOD, v)]).table("accuracy")
    blocks = list(readable.blocks(found))
    assert [[line["method"] for line in block.lines] for block in blocks] == [
        ["rectangle", "rectangle (width=2)"],
        ["rectangle"],
        ["rectangle"],
    ]
    assert [block.title.split(" · ")[3:] for block in blocks[1:]] == [
        ["backbone.neuron=plif", "dataset.alpha=1.0"],
        ["backbone.reset=subtract"],
    ]
