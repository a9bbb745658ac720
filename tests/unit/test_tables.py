"""Which rows of a table, and in which order."""

import pytest

from dirjobs.admin.tables import Condition, known, names_in, sort
from dirjobs.errors import ConfigurationError

ROW = {
    "job": "a.json", "state": "done", "lr": 0.01, "seed": 3, "n": "1e3", "model": "cnn",
    "on": True, "none": None, "result.loss": 0.5, "learning rate": 7, "_column_0_": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr < 0.1", True),
        ("lr < 0.01", False),
        ("lr <= 1e-2 and seed == 3", True),
        ("lr > 1 or seed != 3", False),
        ("not lr > 1", True),
        ("0.001 < lr < 0.1", True),
        ("(lr > 1 or seed == 3) and state == 'done'", True),
        ("model == 'cnn'", True),
        ('model in ("mlp", "cnn")', True),
        ("seed not in [1, 2]", True),
        ("seed in {3}", True),
        ("n == 1000", True),  # a text that is a number
        ("n > 999", True),
        ("seed == '3'", True),
        ("model > 'abc'", True),
        ("model > 3", False),
        ("on == true", True),
        ("on == 1", False),
        ("none == null", True),
        ("result.loss < 1", True),
        ("`learning rate` == 7", True),
        ("`learning rate` == 7 and `state` == 'done'", True),
        ("_column_0_ == 1", True),
        ("seed > -1", True),
        ("3 == seed", True),
        # What a row does not have is nothing of all that.
        ("loss == 1", False),
        ("loss != 1", False),
        ("loss < 1", False),
        ("not loss < 1", True),
        ("loss in (1, 2)", False),
        ("loss not in (1, 2)", False),
    ],
)
def test_conditions(text, expected):
    assert Condition(text).matches(ROW) is expected


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "lr", "3", "lr <", "lr = 3", "lr is 3", "lr < 0.1 &&", "lr + 1 < 3", "f(lr) < 3",
        "lr[0] < 1", "__import__('os').system('x') == 1", "lambda: 1", "(x := 3) == 3", "lr < (1,)",
        "lr in 'abc'", "lr == f'{seed}'", "[x for x in (1,)] == 1", "lr == ...",
        "lr < 0.1; import os",
        "lr == 1j", "lr == b'x'", "a\0 == 1", "(" * 300 + "a" + ")" * 300, "'x' % 3 == 1",
        "-" * 900 + "1 == 1", "9 ** 9 ** 9 == 1", "lr == " + "9" * 2000, "`lr == 3",
        "await lr == 1",
    ],
)  # fmt: skip
def test_what_is_no_condition_is_told_in_one_sentence(text):
    with pytest.raises(ConfigurationError) as caught:
        Condition(text)
    assert "\n" not in str(caught.value)
    assert "--where" in str(caught.value)


def test_numbers_of_any_size_are_compared():
    huge = {"a": 10**400, "b": "9" * 400, "c": float("inf"), "d": float("nan")}
    assert Condition("a > 1e300").matches(huge)
    assert Condition("b > 1").matches(huge)
    assert Condition("c > a").matches(huge)
    assert not Condition("d == d").matches(huge)


def test_columns_that_are_asked_for():
    condition = Condition("lr < 1 and `learning rate` == x.y or true == on")
    assert list(condition.columns) == ["lr", "learning rate", "x.y", "on"]
    known(["lr", "learning rate", "x.y", "on"], condition.columns)
    with pytest.raises(
        ConfigurationError, match=r"^there is no column 'x.y'; there are: lr, on\.$"
    ):
        known(["lr", "on"], ["lr", "x.y"])


def test_names_in():
    assert names_in(" a, b,a ,,c") == ["a", "b", "c"]
    assert names_in("") == []


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (["x"], [-1, 2, "10", 10**400, "a2", "a10", None, "", "missing"]),
        (["-x"], [10**400, "10", 2, -1, "a10", "a2", None, "", "missing"]),
    ],
)
def test_sort(by, order):
    values = [None, "a10", 2, "", "10", 10**400, "a2", -1]
    rows = [{"x": value} for value in values] + [{}]
    assert [row.get("x", "missing") for row in sort(rows, by)] == order


def test_sort_by_several():
    rows = [{"a": a, "b": b} for a in (1, 2) for b in (1, 2)]
    assert sort(rows, ["a", "-b"]) == [
        {"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 1},
    ]  # fmt: skip
