"""What a report says was found: no more than the intervals support."""

import pytest

from bench.report.findings import UNTESTED, findings
from bench.report.tasks import Entry, Task

NAN = float("nan")


class Of(dict):
    """Rows by key, of which only the names are asked."""

    def __missing__(self, key):
        return type("Row", (), {"method": key[-2], "own_words": key[-1]})


def entry(method, best, low=NAN, high=NAN, detectable=3.0, variant="default", **line):
    own = {"indistinguishable_from_best": best, "delta_ci_low": low, "delta_ci_high": high}
    said = {"sweep": "", "kind": "fixed", "n_failed": 0, "detectable": detectable}
    return Entry(("digits", "mlp", 2, method, variant), method, said | own | line)


def task(*entries, number=0):
    return Task(f"t{number}", f"task {number}", "digits", entries)


def found(*tasks):
    return " ".join(findings(tasks, Of(), "rectangle"))


def test_without_tests_nothing_is_called_better():
    assert found(task(entry("arctan", ""), entry("rectangle", ""))) == UNTESTED


def test_where_no_method_can_be_told_apart_it_says_how_large_a_difference_would_be_seen():
    tasks = [
        task(entry("arctan", "yes", -1.0, 3.0, size), entry("rectangle", "yes", detectable=size), number=i)
        for i, size in enumerate((2.0, 5.25))
    ]
    assert found(*tasks) == (
        "On all 2 tasks no method can be told from the best; the smallest difference that is detected with "
        "80 % power is 2.0 to 5.2 points. No method can be told from the baseline rectangle."
    )
    assert found(tasks[0]).startswith("Here no method can be told from the best; ")


def test_methods_are_counted_over_the_tasks_that_tell_them_apart():
    apart = [entry("arctan", "yes", 0.5, 4.0), entry("rectangle", "no"), entry("asgl", "no", -9.0, -2.0)]
    open_one = [entry("arctan", "yes", -1.0, 4.0), entry("rectangle", "yes"), entry("asgl", "yes", -3.0, 1.0)]
    said = found(task(*apart), task(*open_one, number=1), task(*apart, number=2))
    assert said == (
        "On 1 of 3 tasks no method can be told from the best. arctan cannot be told from the best in all 2 "
        "tasks that tell methods apart; rectangle and asgl are below it in all 2. Better than the baseline "
        "rectangle: arctan in 2 of 3 tasks; worse: asgl in 2 of 3 tasks."
    )


def test_one_task_that_tells_methods_apart_is_named():
    said = found(
        task(entry("arctan", "yes", -1.0, 4.0), entry("asgl", "no", -9.0, -2.0)),
        task(entry("arctan", "yes", -1.0, 4.0), entry("asgl", "yes", -1.0, 2.0), number=1),
    )
    assert "On task 0, asgl is below the best; arctan is the best." in said
    assert "No method is better than the baseline rectangle by more than noise; worse: asgl in 1 of 2" in said


@pytest.mark.parametrize("line", [{"n_failed": 1}, {"sweep": "other"}])
def test_failed_rows_and_the_rest_of_a_sweep_do_not_lead(line):
    said = found(task(entry("arctan", "yes"), entry("sigmoid", "yes", **line), entry("asgl", "no")))
    assert said.startswith("asgl is below the best; arctan is the best.")


def test_a_tuned_row_has_the_name_of_its_method():
    said = found(
        task(entry("arctan", "yes", 1.0, 2.0, variant="tuned"), entry("asgl", "no")),
        task(entry("arctan", "yes", 1.0, 2.0), entry("asgl", "no"), number=1),
    )
    assert "Better than the baseline rectangle: arctan in 2 of 2 tasks." in said


def test_the_best_row_with_failed_seeds_is_called_nothing_good():
    rows = [entry("arctan", "yes", n_failed=1), entry("rectangle", "no"), entry("asgl", "no", -9.0, -2.0)]
    assert found(task(*rows)).startswith("rectangle and asgl are below the best, which has failed seeds. ")
    assert found(task(*rows), task(*rows, number=1)).startswith(
        "In the 2 tasks that tell methods apart, the best has failed seeds; "
        "rectangle and asgl are below it in all 2. "
    )


def test_two_versions_of_a_method_in_a_task_count_once():
    rows = [entry("arctan", "yes", 1.0, 3.0), entry("arctan", "yes", 1.0, 4.0), entry("rectangle", "no")]
    said = found(task(*rows), task(*rows, number=1))
    assert said.startswith("arctan cannot be told from the best in all 2 tasks")
    assert said.endswith("Better than the baseline rectangle: arctan in 2 of 2 tasks.")
