"""The report in a browser, as its reader has it before him: `tox run -e browser`."""

import csv
import io
import json
import re
import shutil

import pytest
import shown_runs
from axe_playwright_python.sync_playwright import Axe

from bench.records.store import Store
from bench.report import page as report
from bench.suite import Suite, load_suite
from bench.tables.results import Results

HOSTILE = (
    "<script>alert(1)</script>",
    '</script><img src=x onerror="alert(2)">',
    "__proto__",
    "constructor",
    "datum.x); alert(3); (",
    "=HYPERLINK(1)",
    "κ mpd|agl, \u202eright to left",
    "${alert(4)}",
)
RATE = "recipe.learning_rate"
TASK = "digits-resnet19-T=2-backbone.width=0.0625"
VALIDATION = {"val_accuracy": 90.0, "best_epoch": 0}
"""The metrics of a trial."""


def names(page, task="t0"):
    return page.locator(f"#table-{task} tbody tr:not(.detail):visible .seeds").all_text_contents()


def column(page, heading, task="t0"):
    """The shown texts of a column of a leaderboard."""
    heads = page.locator(f"#table-{task} thead th").all_text_contents()
    cells = page.locator(
        f"#table-{task} tbody tr:not(.detail):visible > :nth-child({heads.index(heading) + 1})"
    )
    return [text.strip() for text in cells.all_text_contents()]


def sort_by(page, heading, task="t0"):
    page.locator(f"#table-{task} thead").get_by_role("button", name=heading, exact=True).click()


def write(folder):
    store = Store(folder, "hand")
    return report.write(HAND, store, Results.read(store, HAND))


def saved(page, act):
    with page.expect_download() as waited:
        act()
    path = waited.value.path()
    return waited.value.suggested_filename, path.read_bytes()


def test_sorting(quick, open_page):
    page = open_page(quick).page
    shipped = names(page)
    # Best first, then the other way.
    sort_by(page, "test accuracy %")
    downward = [float(text.split()[0]) for text in column(page, "test accuracy %")]
    assert downward == sorted(downward, reverse=True) and len(downward) == len(shipped)
    sort_by(page, "test accuracy %")
    assert [float(text.split()[0]) for text in column(page, "test accuracy %")] == downward[::-1]
    sort_by(page, "method")
    assert names(page) == sorted(shipped)
    assert page.locator("#table-t0 th[aria-sort]").all_text_contents()[0].startswith("method")
    # What is unknown stands last, whichever way.
    for _ in range(2):
        sort_by(page, "p, adjusted")
        assert column(page, "p, adjusted")[-1] == "–"
    sort_by(page, "rank")
    means = [float(text.split()[0]) for text in column(page, "test accuracy %")]
    assert column(page, "rank")[-1] == "" and means[:-1] == sorted(means[:-1], reverse=True)


def test_the_columns_are_chosen_and_the_choice_is_in_the_address(quick, open_page):
    page = open_page(quick).page

    def heads():
        return page.locator("#table-t0 thead th:visible").all_text_contents()

    assert heads() == [
        *("rank", "method", "test accuracy %", "Δ to baseline", "p, adjusted", "kind"),
        *("energy, µJ", "training step, ms"),
    ]
    box = page.locator("#table-t0").evaluate("(it) => [it.scrollWidth, it.parentElement.clientWidth]")
    assert box[0] <= box[1]
    page.locator(".columns summary").click()
    page.locator(".columns").get_by_label("Δ to best").check()
    page.locator(".columns").get_by_label("kind").uncheck()
    page.locator("[data-filter=kind]").select_option("control")
    page.locator("#task").select_option(index=1)
    page.locator("#a").select_option("arctan")
    address = page.url
    again = open_page(address.removeprefix("file://")).page
    assert again.locator("#table-t0 thead th:visible").all_text_contents() == heads()
    assert "Δ to best" in heads() and "kind" not in heads()
    assert set(names(again)) == {"rectangle:0.25", "rectangle:4"}
    assert again.locator("#a").input_value() == "arctan"
    assert again.locator("#task").input_value() == "t1"
    # What is as at first is not in the address.
    assert "?" not in open_page(quick).page.url


def test_a_phone_shows_the_first_columns(quick, open_page):
    page = open_page(quick, width=390).page
    heads = page.locator("#table-t0 thead th:visible").all_text_contents()
    assert heads == ["rank", "method", "test accuracy %", "Δ to baseline"]
    accuracy = page.locator("#table-t0 tbody td:nth-child(3)").first.bounding_box()
    assert accuracy["x"] + accuracy["width"] <= 390


def test_heading_and_names_stay_while_a_table_scrolls(quick, open_page):
    page = open_page(quick, width=390, height=420).page
    box = page.locator(".wide", has=page.locator("#table-t0"))
    box.scroll_into_view_if_needed()
    box.evaluate("(it) => it.scrollTo(150, 150)")
    place = box.bounding_box()
    head = page.locator("#table-t0 thead th").nth(1).bounding_box()
    assert abs(head["x"] - place["x"]) < 2 and abs(head["y"] - place["y"]) < 2
    assert abs(page.locator("#table-t0 tbody th").last.bounding_box()["x"] - place["x"]) < 2


def test_the_first_screen_says_what_was_found_and_shows_the_differences(quick, open_page):
    page = open_page(quick).page
    found = page.locator(".found")
    assert "Better than the baseline rectangle: triangle in 3 of 4 tasks" in found.inner_text()
    assert found.bounding_box()["y"] < 300
    assert "protocol 1" in page.locator(".facts").inner_text()
    assert page.locator("#differences figure").count() == 4
    first = page.locator("#figure-differences-t0")
    assert first.bounding_box()["y"] < 900
    said = first.locator(".chart").get_attribute("aria-label")
    assert "digits · resnet19" in said and "triangle 10.67 points, 1.808 to 19.53" in said
    # A legend names no kind that is not there.
    legend = first.locator("svg .role-legend-label text").all_text_contents()
    assert legend == ["adaptive", "control", "fixed"]


def test_a_card_says_what_a_method_is(quick, open_page):
    page = open_page(quick).page
    button = page.locator("#table-t0").get_by_role("button", name="mpd-agl")
    button.focus()
    page.keyboard.press("Enter")
    card = page.locator("tr.detail .card").inner_text()
    for words in ("IJCAI 2025", "adaptive: the surrogate", "checked against the authors' code", "mpd_agl.py"):
        assert words in card


def test_filters(quick, open_page):
    page = open_page(quick).page
    assert page.locator("#shown").inner_text() == "36 of 36 rows"
    page.locator("[data-filter=kind]").select_option("control")
    assert set(names(page)) == {"rectangle:0.25", "rectangle:4"}
    assert page.locator("#shown").inner_text() == "8 of 36 rows"
    page.locator("[data-filter=dataset]").select_option("digits-events")
    assert page.locator(".task:visible").count() == 1
    assert page.locator("#shown").inner_text() == "2 of 36 rows"
    page.locator("[data-filter=dataset]").select_option("")
    page.locator("[data-filter=kind]").select_option("")
    page.locator("[data-filter=fidelity]").select_option("official-code")
    assert names(page) == ["mpd-agl"]
    page.locator("[data-filter=fidelity]").select_option("")
    page.locator("[data-filter=method]").fill("SIG")
    assert set(names(page)) == {"fast-sigmoid"}


def test_the_seeds_of_a_method_by_mouse_and_by_keyboard(quick, open_page):
    page = open_page(quick).page
    button = page.locator("#table-t0").get_by_role("button", name="mpd-agl")
    assert button.get_attribute("aria-expanded") == "false"
    button.click()
    assert button.get_attribute("aria-expanded") == "true"
    rows = page.locator("#table-t0 tr.detail tbody tr")
    assert rows.count() == 5
    first = rows.nth(0).locator("td").all_text_contents()
    assert first[:2] == ["0", "ok"] and re.fullmatch(r"[0-9a-f]{16}", first[6])
    # Sorting closes them: a row of seeds would be torn from its method.
    sort_by(page, "method")
    assert page.locator("tr.detail").count() == 0
    button.focus()
    page.keyboard.press("Enter")
    assert page.locator("tr.detail").count() == 1
    page.keyboard.press("Space")
    assert page.locator("tr.detail").count() == 0


def test_heat_maps_switch_methods_and_tasks(quick, open_page):
    opened = open_page(quick)
    page = opened.page

    def shown(figure):
        page.locator(f"{figure} .tools button", has_text="Numbers").click()
        text = page.locator(f"{figure} .numbers").inner_text()
        page.locator(f"{figure} .tools button", has_text="Numbers").click()
        return text

    def titles():
        return [
            page.locator(f"#figure-available-{side} h3").inner_text().split(" digits")[0] for side in "ab"
        ]

    assert titles() == ["A: mpd-agl, available fraction", "B: rectangle, available fraction"]
    before = shown("#figure-available-a"), shown("#figure-available-b")
    assert before[0] != before[1]
    page.locator("#a").select_option("arctan")
    assert titles()[0] == "A: arctan, available fraction"
    page.locator("#b").select_option("mpd-agl")
    assert shown("#figure-available-b") == before[0]
    assert shown("#figure-available-a") not in before
    page.locator("#task").select_option(index=1)
    assert titles() == ["A: arctan, available fraction", "B: mpd-agl, available fraction"]
    assert shown("#figure-available-b") != before[0]
    layers = page.locator("#figure-sizes-a svg .role-axis-label text")
    for name in ("conv1", "conv2", "conv3"):
        layers.get_by_text(name, exact=True).wait_for()


def test_every_figure_is_drawn(quick, open_page):
    page = open_page(quick).page
    figures = page.locator("figure[data-figure]:visible")
    assert figures.count() >= 8
    for number in range(figures.count()):
        assert figures.nth(number).locator(".chart svg .mark-group").count() > 0
    assert page.locator("#shape-panels svg").count() == 8


def test_figures_in_view_are_drawn_first(quick, chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.add_init_script(
        "window.order = []; new MutationObserver((changes) => { for (const { addedNodes } of changes)"
        " for (const node of addedNodes) if (node.nodeName === 'svg')"
        " window.order.push(node.closest('figure').id); })"
        ".observe(document, {childList: true, subtree: true})"
    )
    page = context.new_page()
    page.goto(f"file://{quick}#gradients")
    page.wait_for_selector("html[data-drawn=yes]")
    order = page.evaluate("window.order")
    assert order.index("figure-available-a") < order.index("figure-differences-t1"), order
    context.close()


# Chromium lets a page start ten downloads before it asks: three figures at a time.
@pytest.mark.parametrize(
    "figures",
    [("accuracy", "anytime", "cost"), ("available-a", "sizes-b", "slope")],
)
def test_figures_can_be_taken_away(quick, open_page, figures):
    page = open_page(quick).page
    for name in figures:
        tools = page.locator(f"#figure-{name} .tools")
        file, content = saved(page, tools.get_by_role("button", name="SVG").click)
        assert file == f"quick-{name}-{TASK}.svg" and content.startswith(b"<svg") and len(content) > 1000
        assert b"digits \xc2\xb7 resnet19" in content
        file, content = saved(page, tools.get_by_role("button", name="PNG").click)
        assert file == f"quick-{name}-{TASK}.png" and content.startswith(b"\x89PNG") and len(content) > 1000
        file, content = saved(page, tools.get_by_role("button", name="CSV").click)
        assert file == f"quick-{name}-{TASK}.csv" and len(content.splitlines()) > 2


def test_a_figure_is_saved_as_pdf_alone_on_a_page_of_its_size(quick, open_page):
    page = open_page(quick, color_scheme="dark").page
    title = page.title()
    # As in Safari, where print() returns before it prints.
    page.evaluate("() => { window.print = () => { window.title = document.title; }; }")
    page.locator("#figure-accuracy .tools").get_by_role("button", name="PDF").click()
    page.wait_for_function("window.title")
    assert page.evaluate("window.title") == f"quick-accuracy-{TASK}"
    box = page.locator(".alone svg").bounding_box()
    content = page.pdf(prefer_css_page_size=True)
    assert content.startswith(b"%PDF") and content.count(b"/Type /Page\n") == 1
    width, height = map(float, re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", content).groups())
    assert abs(width - box["width"] * 0.75) < 2 and abs(height - box["height"] * 0.75) < 2
    page.wait_for_function("!document.querySelector('.alone')")
    assert as_before(page, title)


def as_before(page, title):
    """Whether nothing is left of printing a figure alone."""
    styles = page.locator("style").all_text_contents()
    there = page.locator("html.one, .alone").count()
    return page.title() == title and not there and not any(text.startswith("@page") for text in styles)


@pytest.mark.parametrize("printing", ["throw new Error('no printer')", "return"])
def test_after_printing_the_page_is_as_before(quick, open_page, printing):
    page = open_page(quick).page
    title = page.title()
    page.evaluate(
        f"() => {{ window.print = () => {{ window.asked = true; {printing}; }};"
        " window.addEventListener('unhandledrejection', (event) => event.preventDefault()); }"
    )
    page.locator("#figure-accuracy .tools").get_by_role("button", name="PDF").click()
    page.wait_for_function("window.asked")
    if printing == "return":
        # Without any event, it takes its reader to say that it is over.
        assert not as_before(page, title)
        page.keyboard.press("Shift")
    page.wait_for_function("!document.querySelector('.alone')")
    assert as_before(page, title)


def test_the_numbers_that_are_taken_away_are_those_of_the_tables(quick, open_page):
    page = open_page(quick).page
    _, content = saved(page, page.locator("#figure-accuracy .tools").get_by_role("button", name="CSV").click)
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["method"] for row in rows] == names(page)
    assert [f"{float(row['mean']):.2f}" for row in rows] == [
        t.split()[0] for t in column(page, "test accuracy %")
    ]
    page.locator("[data-filter=kind]").select_option("control")
    _, content = saved(page, page.locator("button.csv-of").first.click)
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    assert [row["method"] for row in rows] == names(page) and len(rows) == 2


def test_what_is_seen_over_training_is_chosen(quick, open_page):
    page = open_page(quick).page
    figure = page.locator("#figure-course")
    labels = figure.locator("#quantity option").all_text_contents()
    assert labels[:2] == ["width of the surrogate derivative", "available fraction"]
    page.locator("#quantity").select_option("gradient size, log10 of its norm")
    page.locator("#layers").select_option("first layer")
    figure.locator("svg .role-axis-title text", has_text="gradient size").first.wait_for()
    assert re.search(r"mpd-agl: -\d.* at 0, -\d.* at 4", figure.locator(".chart").get_attribute("aria-label"))
    again = open_page(page.url.removeprefix("file://")).page
    assert again.locator("#quantity").input_value() == "gradient size, log10 of its norm"
    assert again.locator("#layers").input_value() == "first layer"


def test_two_probes_are_no_course(quick, open_page, tmp_path):
    figure = open_page(quick).page.locator("#figure-course")
    assert figure.locator("h3").inner_text().startswith("Before and after training")
    assert figure.locator("svg .mark-area").count() == 0
    ticks = figure.locator("svg .role-axis-label text").all_text_contents()
    assert ticks[:2] == ["0", "4"]
    shown_runs.write(tmp_path, shown_runs.record(1), shown_runs.epochs(3), shown_runs.layers())
    page = open_page(write(tmp_path)).page
    assert page.locator("#figure-course h3").inner_text().startswith("Over training")
    assert page.locator("#figure-course svg .mark-area").count() == 1
    ticks = page.locator("#figure-curves svg .role-axis-label text").all_text_contents()
    assert ticks[:3] == ["1", "2", "3"] and ticks[3] != "3", ticks


@pytest.mark.parametrize("width", [1280, 390])
def test_names_beside_dots_are_whole_and_apart(quick, open_page, width):
    page = open_page(quick, width=width).page
    for task in range(4):
        page.locator("#task").select_option(index=task)
        page.wait_for_timeout(1000)
        boxes = page.locator("#figure-cost svg .mark-text.role-mark text").evaluate_all(
            "(them) => them.filter((it) => it.textContent && it.getAttribute('opacity') !== '0')"
            ".map((it) => [it.textContent, it.getBoundingClientRect()])"
            ".map(([text, box]) => [text, box.left, box.right, box.top + 2, box.bottom - 2])"
        )
        assert len(boxes) >= 3
        edge = page.locator("#figure-cost .chart").bounding_box()
        for text, left, right, *_ in boxes:
            assert edge["x"] <= left and right <= edge["x"] + edge["width"] + 1, text
        for i, (one, left, right, top, bottom) in enumerate(boxes):
            for other, *box in boxes[:i]:
                apart = right <= box[0] or box[1] <= left or bottom <= box[2] or box[3] <= top
                assert apart, (one, other)


def test_other_costs_can_be_asked_for(quick, open_page):
    page = open_page(quick).page
    assert "energy" in page.locator("#price").input_value()
    page.locator("#price").select_option("training step, ms")
    page.locator("#figure-cost svg .role-axis-title").get_by_text("training step, ms", exact=True).wait_for()
    # What was chosen stays when the task changes.
    page.locator("#task").select_option(index=1)
    assert page.locator("#price").input_value() == "training step, ms"


def test_no_figure_is_without_words(quick, open_page):
    page = open_page(quick).page
    labels = page.locator(".chart:visible").evaluate_all("(them) => them.map((it) => it.ariaLabel)")
    assert len(labels) > 15 and all(re.search(r"\d", label) for label in labels), labels


@pytest.mark.parametrize("width", [1280, 820, 390, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_any_screen(quick, open_page, width, scheme):
    page = open_page(quick, width=width, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_those_who_read_otherwise(quick, open_page, scheme):
    page = open_page(quick, color_scheme=scheme, bypass_csp=True).page
    page.locator("#table-t0").get_by_role("button", name="mpd-agl").click()
    page.locator("#figure-slope .tools button", has_text="Numbers").click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:100]) for each in found] == []


def test_it_prints_on_white_without_controls(quick, open_page):
    page = open_page(quick, color_scheme="dark").page
    page.emulate_media(media="print", color_scheme="dark")
    style = page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert style == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert page.locator("nav, .filters, .tools").locator("visible=true").count() == 0
    assert page.locator(".chart svg").first.is_visible()
    assert page.pdf().startswith(b"%PDF")


def test_without_scripts_the_tables_are_there(quick, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"file://{quick}")
    assert page.locator("#table-t0 tbody tr").count() == 9
    assert "need JavaScript" in page.locator("noscript").inner_text()
    context.close()


def hostile_results(folder):
    number = 0
    for name in HOSTILE:
        for seed in range(2):
            number += 1
            found = shown_runs.record(
                number,
                "hand",
                cell={"method": {"name": name, "params": {}}, "dataset": {"name": HOSTILE[1]}, "seed": seed},
                configuration=f"of-{name}",
                variant=f"width={HOSTILE[0]}",
                status="ok" if seed else "failed",
                data={"checksum": "c0ffee", "classes": 10},
                metrics=shown_runs.METRICS if seed else {},
                error=None if seed else f"it said {HOSTILE[1]} and {HOSTILE[0]}",
            )
            shown_runs.write(folder, found, layer_rows=shown_runs.layers(names=(HOSTILE[0], HOSTILE[1], "c")))
    for number, name in enumerate(HOSTILE, 100):
        trial = shown_runs.record(
            number,
            "hand.tune",
            metrics=VALIDATION,
            cell={
                "method": {"name": name, "params": {HOSTILE[1]: 1.0}},
                "selection": {"by": "tuning", "over": (RATE, HOSTILE[1])},
                "seed": 1000,
            },
            configuration=f"trial of {name}",
        )
        shown_runs.write(folder, trial, layer_rows=[])
    broken = Store(folder, "hand").folder(HOSTILE[0].replace("/", "_"))
    broken.mkdir()
    (broken / "record.json").write_text("{")


HAND = Suite.model_validate(
    {
        "name": "hand",
        "description": HOSTILE[1],
        "methods": ["rectangle"],
        "datasets": ["digits"],
        "backbones": ["mlp"],
        "timesteps": [2],
        "seeds": [0],
        "recipe": {"epochs": 1, "batch_size": 2, "learning_rate": 0.1},
    }
)


def trials(folder):
    """A run of each of two methods, and trials over four learning rates and three widths of one of them."""
    points = [("rectangle", rate, width) for rate in (0.01, 0.02, 0.05, 0.1) for width in (0.5, 1.0, 2.0)]
    points += [("arctan", rate, None) for rate in (0.01, 0.02, 0.05, 0.1)]
    for number, (method, rate, width) in enumerate(points):
        own = {"width": width} if width else {}
        trial = shown_runs.record(
            number + 1,
            "hand.tune",
            metrics=VALIDATION,
            cell={
                "method": {"name": method, "params": own},
                "recipe": shown_runs.CELL["recipe"] | {"learning_rate": rate},
                "selection": {"by": "tuning", "over": (RATE, *own)},
                "seed": 1000,
            },
            configuration=f"{method} {rate} {width}",
            variant=f"width={width} {RATE}={rate}" if width else f"{RATE}={rate}",
        )
        rows = [row | {"val_accuracy": 50.0 + 3 * number} for row in shown_runs.epochs(1)]
        shown_runs.write(folder, trial, rows, [])
    for number, method in enumerate(("rectangle", "arctan"), 100):
        cell = {"method": {"name": method, "params": {}}}
        shown_runs.write(folder, shown_runs.record(number, cell=cell, configuration=f"of-{method}"))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
def test_tuning_is_drawn(open_page, tmp_path, width, scheme):
    trials(tmp_path)
    file = write(tmp_path)
    page = open_page(file, width=width, color_scheme=scheme, bypass_csp=True).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    panels = page.locator("#figure-trials-0 .trials figure")
    assert panels.locator("h3").all_text_contents() == ["arctan", "rectangle"]
    for number, cells in enumerate((4, 12)):
        # A cell is there twice: it has an invisible one that keeps its place.
        assert panels.nth(number).locator("svg .mark-rect.role-mark path").count() == 2 * cells
        assert panels.nth(number).locator("svg .mark-symbol.role-mark path").count() == 1
    titles = panels.nth(1).locator("svg .role-axis-title text").all_text_contents()
    assert set(titles) == {"learning rate", "width"}
    last = panels.nth(1).locator("svg .mark-rect.role-mark path").last
    last.scroll_into_view_if_needed()
    # Parts of the page that come into view get their true height, which moves the cell.
    page.wait_for_timeout(500)
    last.hover()
    page.wait_for_selector("#vg-tooltip-element.visible")
    assert "accuracy" in page.locator("#vg-tooltip-element").inner_text()
    assert page.locator("#figure-best-of-0 svg .mark-line path").count() == 2
    page.locator("#figure-trials-0 .tools button", has_text="Numbers").click()
    assert page.locator("#figure-trials-0 .numbers tbody tr").count() == 16
    page.mouse.move(0, 0)
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:100]) for each in found] == []


def test_a_name_is_a_name_whatever_it_says(open_page, tmp_path):
    hostile_results(tmp_path)
    page = open_page(write(tmp_path)).page
    assert set(names(page)) == set(HOSTILE)
    assert set(page.locator("#figure-trials-0 .trials h3").all_text_contents()) == set(HOSTILE)
    page.locator("#figure-trials-0 svg .mark-symbol.role-mark path").last.hover()
    page.wait_for_timeout(500)
    assert page.locator("img").count() == 0
    for name in HOSTILE:
        page.locator("#a").select_option(name)
        page.locator("#b").select_option(HOSTILE[0])
        assert (
            page.locator("#figure-available-a h3").inner_text().startswith(f"A: {name}, available fraction")
        )
        page.locator("#table-t0 .seeds").nth(HOSTILE.index(name)).click()
    page.locator("#figure-accuracy .tools button", has_text="Numbers").click()
    page.wait_for_timeout(1000)
    assert page.locator("img").count() == 0
    assert page.locator("tr.detail tbody tr").count() == 2 * len(HOSTILE)
    # A dot and its tip, which Vega puts into the page by itself.
    page.locator("#figure-accuracy svg .mark-symbol.role-mark path").first.hover()
    page.wait_for_timeout(500)
    assert page.locator("img").count() == 0
    _, content = saved(page, page.locator("#figure-accuracy .tools").get_by_role("button", name="CSV").click)
    assert b"\n'=HYPERLINK(1)" in content


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_page_over_all_suites_leads_to_their_reports(index, chromium, width, scheme):
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(f"file://{index}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert "Better than the baseline rectangle" in page.locator("article").inner_text()
    assert "4 tasks · 180 trainings" in page.locator("article").inner_text()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:100]) for each in found] == []
    page.get_by_role("link", name="Choosing a surrogate").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("dd code").first.inner_text().startswith("spike_grad=surrogate.")
    page.locator("summary").click()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"][:100]) for each in found] == []
    page.get_by_role("link", name="All suites").click()
    page.get_by_role("link", name="quick").click()
    page.wait_for_selector("html[data-drawn=yes]")
    assert page.locator("h1").inner_text() == "The suite quick"
    context.close()


def test_a_card_sets_the_formula_as_mathematics(quick, open_page):
    page = open_page(quick).page
    page.locator("#table-t0").get_by_role("button", name="mpd-agl").click()
    formula = page.locator("tr.detail .card math")
    assert formula.count() == 1
    assert formula.locator("mfrac").count() >= 1
    assert formula.evaluate("node => node.namespaceURI") == "http://www.w3.org/1998/Math/MathML"


@pytest.mark.parametrize(("link", "shown"), [("https://example.org/a", 1), ("javascript:alert(1)", 0)])
def test_a_card_has_the_formula_and_links_to_pages_alone(quick, open_page, tmp_path, link, shown):
    results = tmp_path / "results"
    shutil.copytree(quick.parents[1], results)
    for file in (results / "derivatives" / "quick").glob("*.json"):
        kept = json.loads(file.read_text()) | {"formula": "h(x) = <b>1</b>", "latex": "", "link": link}
        file.write_text(json.dumps(kept))
    store, suite = Store(results, "quick"), load_suite("quick")
    page = open_page(report.write(suite, store, Results.read(store, suite))).page
    page.locator("#table-t0").get_by_role("button", name="mpd-agl").click()
    card = page.locator("tr.detail .card")
    assert "h(x) = <b>1</b>" in card.inner_text() and card.locator("a").count() == shown
