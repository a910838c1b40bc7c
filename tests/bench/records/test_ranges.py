import pytest

from bench.records.ranges import NOT_NEGATIVE, PERCENT, SHARES, out_of_range


def test_what_lies_within_is_right_also_by_the_rounding_of_single_precision():
    assert out_of_range({}) == ""
    inside = (
        dict.fromkeys(PERCENT, 100.0) | dict.fromkeys(SHARES, 1.0000000065) | dict.fromkeys(NOT_NEGATIVE, 0)
    )
    assert out_of_range(inside) == ""
    assert out_of_range(dict.fromkeys(inside)) == ""


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        *((name, 100.1, "which is not an accuracy in percent") for name in PERCENT),
        *((name, 1.1, "which is not a share") for name in SHARES),
        *((name, -1, "which cannot be") for name in NOT_NEGATIVE),
        ("test_accuracy", [90.0], "which is not an accuracy in percent"),
        ("participation", -0.01, "which is not a share"),
    ],
)
def test_what_does_not_is_named(name, value, words):
    assert out_of_range({name: value}) == f"{name} is {value}, {words}"
