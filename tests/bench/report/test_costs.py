"""The tables of parameters and costs: means, and only the columns that a record has."""

import written_records

from bench.report.costs import cost_grids
from bench.report.tasks import page_tasks
from bench.tables.results import Results

COSTS = {"parameters": 4321, "spikes_per_sample": 100.0, "energy_uj": 0.5, "search_seconds": 0.0}


def grids(**of_methods):
    records = []
    for method, costs in of_methods.items():
        for seed, record in enumerate(written_records.runs(method, (98.0, 97.0))):
            record["metrics"] |= costs | ({"train_seconds": 10.0 + 2 * seed} if costs else {})
            records.append(record)
    results = Results(records)
    return cost_grids(page_tasks(results.table("accuracy")), {row.key: row for row in results.rows})


def test_means_over_seeds_in_the_columns_that_are_known():
    (grid,) = grids(rectangle=COSTS, arctan=COSTS | {"macs_per_sample": 7.0})
    assert grid.heads == ["method", "parameters", "spikes", "MACs", "energy, µJ", "training, s"]
    lines = {line[0].text: [cell.text for cell in line[1:]] for line in grid.lines}
    assert lines == {
        "rectangle": ["4,321", "100", "–", "0.5000", "11"],
        "arctan": ["4,321", "100", "7", "0.5000", "11"],
    }


def test_a_search_is_a_column_where_a_method_searches():
    (grid,) = grids(rectangle=COSTS, a2sg=COSTS | {"search_seconds": 3.5})
    assert grid.heads[-1] == "searching, s"
    assert {line[0].text: line[-1].text for line in grid.lines} == {"rectangle": "0", "a2sg": "3.500"}


def test_without_costs_there_is_no_table():
    assert grids(rectangle={}) == []
