"""When two calls are the same."""

import functools
import subprocess
import sys

import pytest

from dirjobs.functions.identity import identity

from . import calls


def of(function=calls.double, *args, name="", **kwargs):
    return identity(name, function, args, kwargs)


def test_the_same_call_has_the_same_digest_in_another_process():
    code = (
        "from tests.functions.test_identity import *\n"
        "print(of(calls.double, {'b', 'a'}, {'x': [1, 2.5], 'y': None}, times=('s', b't')))"
    )
    command = [sys.executable, "-c", code]
    seen = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": str(seed)}
        ).stdout
        for seed in range(3)
    }
    assert len(seen) == 1


def test_equal_values_are_one_whether_they_are_one_object_or_not():
    text = "".join(["some", "thing"])
    assert of(calls.double, text, text) == of(calls.double, "some" + "thing"[:], "something")
    assert of(calls.double, {1: 2, 3: 4}) == of(calls.double, {3: 4, 1: 2})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1,), (1.0,)),
        ((1,), (True,)),
        (("1",), (1,)),
        (([1, 2],), ((1, 2),)),
        (([[1], 2],), ([1, [2]],)),
        (([1], 2), ([1, 2],)),
        (("ab", "c"), ("a", "bc")),
        ((0.0,), (-0.0,)),
        (({1: 2},), ({2: 1},)),
    ],
)
def test_other_arguments_are_other_calls(one, other):
    assert of(calls.double, *one) != of(calls.double, *other)


def test_name_function_source_and_closure_count():
    def made(factor):
        def inner(value):
            return value * factor

        return inner

    seen = {
        of(calls.double, 1),
        of(calls.double, 1, name="sweep"),
        of(calls.length, 1),
        of(made(1), 1),
        of(made(2), 1),
        *(of(function, 1) for function in (lambda x: x, lambda x: x + 1)),
        of(functools.partial(calls.double, times=3), 1),
        of(functools.partial(calls.double, times=4), 1),
    }
    assert len(seen) == 9
    assert of(made(1), 1) == of(made(1), 1)


def test_a_list_that_is_in_itself():
    loop = [1]
    loop.append(loop)
    assert of(calls.double, loop) != of(calls.double, [1, [1]])


PROGRAM = """
import dataclasses, functools, sys
from dirjobs.functions.identity import identity

class Model:
    slots = {"a", "b"}
    def __init__(self, depth):
        self.depth = depth
    def score(self):
        return %s
    @property
    def twice(self):
        return 2 * self.depth
    @classmethod
    def make(cls):
        return cls(1)

@dataclasses.dataclass
class Settings:
    lr: float
    inner: object = None

model = Model(3)
model.me = model
print(identity("", model.score, (), {}))
print(identity("", len, (Settings(0.1, Settings(0.2)), Model), {}))
"""


def digests_of(program):
    environment = {"PYTHONHASHSEED": "random"}
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout.split()


def test_objects_of_the_programs_own_classes_are_the_same_in_each_run():
    first = digests_of(PROGRAM % "self.depth")
    assert digests_of(PROGRAM % "self.depth") == first
    other = digests_of(PROGRAM % "-self.depth")
    assert other[0] != first[0]
    assert other[1] != first[1], "it has the class as an argument"


def test_objects_of_libraries():
    import datetime
    import decimal
    import pathlib
    import random

    values = [
        datetime.date(2025, 1, 2),
        datetime.timedelta(3),
        decimal.Decimal("1.5"),
        pathlib.PurePosixPath("a/b"),
        range(3),
        slice(1, 2),
        Ellipsis,
        random.Random(1),
    ]
    seen = [of(calls.double, value) for value in values]
    assert len(set(seen)) == len(values)
    assert seen[-1] == of(calls.double, random.Random(1))
    assert seen[0] == of(calls.double, datetime.date(2025, 1, 2))
