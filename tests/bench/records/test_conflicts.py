from written_records import runs

from bench.records.conflicts import without_conflicts


def test_records_that_agree_are_all_kept_in_their_order():
    records = runs("rectangle", [98.0, 97.0, "failed"]) + runs("arctan", [96.0])
    assert without_conflicts(records) == (records, [])


def test_of_two_records_of_one_seed_neither_counts():
    first, second = runs("rectangle", [98.0, 97.0])
    copy = {**first, "id": "another", "status": "failed"}
    kept, (sentence,) = without_conflicts([first, copy, second])
    assert kept == [second]
    assert sentence == (
        f"configuration {first['configuration']} (rectangle on digits) has 2 records of seed 0 "
        f"({', '.join(sorted([first['id'], 'another']))}): all of them are left out; "
        "remove the folders of those that are not the run's own"
    )


def test_the_same_seed_of_other_code_is_no_contradiction():
    (record,) = runs("rectangle", [98.0])
    later = {**record, "id": "another", "digests": {"method": "changed"}}
    assert without_conflicts([record, later]) == ([record, later], [])


def test_of_one_configuration_on_two_data_nothing_counts():
    other = runs("rectangle", [90.0, 91.0], configuration="e" * 16, checksum="dec0de")[1:]
    mine = runs("rectangle", [98.0], configuration="e" * 16)
    good = runs("arctan", [97.0])
    kept, (sentence,) = without_conflicts([*mine, *other, *good])
    assert kept == good
    assert "different data (c0ffee: eeeeeeeeeeee0000; dec0de: eeeeeeeeeeee0001): all are left out" in sentence


def test_a_run_that_failed_before_it_had_data_contradicts_nothing():
    first, second = runs("rectangle", [98.0, "failed"])
    records = [first, {**second, "data": None}]
    assert without_conflicts(records) == (records, [])
