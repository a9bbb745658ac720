"""From what a person writes to sets of parameters, and to the names of jobs."""

from __future__ import annotations

import json

import pytest

from dirjobs.errors import ConfigurationError, InvalidName
from dirjobs.files.parameters import object_in, texts_of
from dirjobs.layout import check_new_job
from dirjobs.placeholders import UnknownParameter
from dirjobs.runner.template import Subject, environment, fill_argument
from dirjobs.sweep.naming import LONGEST, Naming, content_of, filled
from dirjobs.sweep.parameters import axes_of, combinations, csv_rows, json_rows, parse_param, typed
from dirjobs.typed import Number, text_of, to_json


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-3", "12", "123456789012345", "0.1", "0.10", "3.10", "1e-3", "1.5e3", "-2.5E+4"),
        *("100000000000000", "0.123456789012345"),
    ],
)
def test_a_number_keeps_its_notation(text):
    assert isinstance(typed(text), Number)
    assert content_of({"x": typed(text)}) == f'{{"x": {text}}}\n'.encode()
    assert text_of(typed(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("007", "1_000", "+1", "-0", ".5", "5.", "1e999", "1e-400", "nan", "inf", "-", ".", "e5"),
        *("1234567890123456", "12345678901234567890", "0.1234567890123456", "5381e182", "1e5"),
        *("True", "FALSE", "", "adam", "1.2.3", " 1", "٣", "1e", "0x10", "12e4567"),
    ],
)
def test_what_a_program_would_not_read_as_it_stands_is_text(text):
    found = typed(text)
    assert (found, type(found)) == (text, str)


def test_true_and_false():
    assert (typed("true"), typed("false")) == (True, False)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("x=1", "[1]"),
        ("x=0.1,0.01", "[0.1, 0.01]"),
        ("x=1..5", "[1, 2, 3, 4, 5]"),
        ("x=01..3", "[1, 2, 3]"),
        ("x=5..1..-2", "[5, 3, 1]"),
        ("x=0..1..0.25", "[0.0, 0.25, 0.5, 0.75, 1.0]"),
        ("x=0.1..0.3..0.1", "[0.1, 0.2, 0.3]"),
        ("x=2.9..3.1..0.1", "[2.9, 3.0, 3.1]"),
        ("x=1..3,10,a", '[1, 2, 3, 10, "a"]'),
        ("x=1..2..5", "[1]"),
        ("x=4..4", "[4]"),
        ("x=a=b", '["a=b"]'),
        ("x=../a.csv,main..dev,1..x", '["../a.csv", "main..dev", "1..x"]'),
        ("python=3.9,3.10", "[3.9, 3.10]"),
    ],
)
def test_the_values_of_a_parameter(text, values):
    name, found = parse_param(text)
    assert (name, to_json(found)) == (text.partition("=")[0], values)


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "=1", " =1", "x=", "x=1,", "x=1,,2", "x=1..", "x=..2", "x=5..1", "x=0.1..0.5"),
        *("x=1..5..0", "x=1..2..1..1", "x=1..2..y", "x=0..1e9", "x=0..1..1e-99", "x=1e-5..1e-3"),
        *("x=1...3", "x=\udc80"),
    ],
)
def test_a_parameter_that_makes_no_sense(text):
    with pytest.raises(ConfigurationError) as caught:
        parse_param(text)
    assert "--param" in str(caught.value)


def rows_of(*rows):
    return lambda: rows


def test_products():
    rows = combinations(rows_of({}), axes_of(["lr=0.1,0.01", "seed=1..3"]))
    assert len(list(rows())) == 6
    assert content_of(list(rows())[-1]) == b'{"lr": 0.01, "seed": 3}\n'
    rows = combinations(rows_of({"a": 1}, {"a": 2}), axes_of(["b=x,y"]))
    assert [row["a"] for row in rows()] == [1, 1, 2, 2]


def test_each_step_of_a_logarithm_is_as_large():
    assert parse_param("lr=log(1e-4,1e-1,7)") == (
        "lr",
        ["1e-4", "0.0003162", "0.001", "0.003162", "0.01", "0.03162", "1e-1"],
    )
    assert parse_param("x=log(100,1,3),7") == ("x", ["100", "10", "1", "7"])
    _, many = parse_param("x=log(1,1.001,100)")
    assert len({float(value) for value in many}) == 100


@pytest.mark.parametrize(
    "steps", ["log(0,1,3)", "log(1,1,3)", "log(1,2,1)", "log(1,inf,3)", "log(1,2,x)", "log(-1,2,3)"]
)
def test_logarithms_that_make_no_sense(steps):
    with pytest.raises(ConfigurationError, match=r"write log\(FIRST,LAST,NUMBER\)"):
        parse_param(f"x={steps}")


def test_what_only_looks_like_a_logarithm_is_a_value():
    assert parse_param("f=log(x),log,logs(1,2)") == ("f", ["log(x)", "log", "logs(1", "2)"])


def test_values_that_belong_together():
    rows = combinations(rows_of({}), axes_of(["a=1,2,3", "b=x,y,z"]), paired=True, repeat=2)
    found = [(row["a"], row["b"], row["repeat"]) for row in rows()]
    assert found == [
        *(("1", "x", "1"), ("1", "x", "2"), ("2", "y", "1"), ("2", "y", "2")),
        *(("3", "z", "1"), ("3", "z", "2")),
    ]


@pytest.mark.parametrize("number", [1, 7, 29, 40, 59, 60, 1000])
def test_a_sample_is_a_part_of_all_and_of_every_larger_one(number):
    params = ["a=1..4", "b=1..5"]
    files = rows_of({"f": 1}, {"f": 2}, {"f": 3})
    everything = list(combinations(files, axes_of(params))())
    found = list(combinations(files, axes_of(params), sample=number)())
    assert len(found) == min(number, 60)
    assert found == [row for row in everything if row in found]
    larger = list(combinations(files, axes_of(params), sample=number + 3)())
    assert [row for row in found if row not in larger] == []


def test_a_sample_of_more_than_could_be_added():
    params = [f"x{n}=1..1000" for n in range(5)]
    assert len(list(combinations(rows_of({}), axes_of(params), sample=10)())) == 10


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (["x=1", "x=2"], "there twice"),
        (["a=1..1000", "b=1..1001"], "more than 1,000,000 jobs"),
        (["a=1"], "in the file and in a --param"),
    ],
)
def test_products_that_make_no_sense(params, told):
    with pytest.raises(ConfigurationError, match=told):
        list(combinations(rows_of({"a": 1}), axes_of(params))())


# -- files ---------------------------------------------------------------------------------


def read(reader, tmp_path, data):
    path = tmp_path / "file"
    path.write_bytes(data)
    return to_json(list(reader(str(path), "table")))


@pytest.mark.parametrize(
    "data",
    [
        b"lr,name\n0.1,a b\n2,x\n",
        b"\xef\xbb\xbflr;name\r\n0.1;a b\r\n\r\n2;x",
        b'lr\tname\n0.1\t"a b"\n2\tx\n\n',
        b"lr, name\n0.1, a b\n,\n2, x\n,\n",
        b'sep=;\r\nlr;name\r\n0.1;"a b"\r\n;\r\n2;x\r\n',
        b"\nlr;name\r0.1;a b\r2;x\r",
        "lr\tname\n0.1\ta b\n2\tx\n".encode("utf-16"),
    ],
)
def test_csv(tmp_path, data):
    told = '[{"lr": 0.1, "name": "a b"}, {"lr": 2, "name": "x"}]'
    assert read(csv_rows, tmp_path, data) == told


def test_a_quoted_header_does_not_decide_what_separates_cells(tmp_path):
    data = b'"weight, kg";"height, cm, or so";x\n1;2;3\n'
    told = '[{"weight, kg": 1, "height, cm, or so": 2, "x": 3}]'
    assert read(csv_rows, tmp_path, data) == told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,a\n1,2\n", "two columns have the name 'a'"),
        (b"a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a,b\n1,2\n3\n", "line 3: 1 values for 2 columns"),
        (b'a,b\n1,"2\n', "line 2"),
        (b"a\n\xff\n", "not UTF-8 text"),
        (b"a\n" + b"x" * 200_000, "field larger"),
    ],
)
def test_csv_that_makes_no_sense(tmp_path, data, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        read(csv_rows, tmp_path, data)
    assert "table" in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b'[{"a": 1}, {"a": "x", "b": [2]}]',
        b'{"a": 1}\n\n{"a": "x", "b": [2]}\n',
        b'\xef\xbb\xbf\n [\n{"a": 1},\n{"a": "x", "b": [2]}]\n',
        '[{"a": 1}, {"a": "x", "b": [2]}]'.encode("utf-16"),
    ],
)
def test_json(tmp_path, data):
    assert read(json_rows, tmp_path, data) == '[{"a": 1}, {"a": "x", "b": [2]}]'


def test_json_keeps_all_digits(tmp_path):
    data = b'{"id": 12345678901234567890123, "x": {"y": [0.1234567890123456789, 1e-5]}}'
    assert read(json_rows, tmp_path, data) == f"[{data.decode()}]"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_jobs_file_may_be_written_by_windows(tmp_path, encoding):
    path = tmp_path / "job.json"
    path.write_text('{"lr": 0.10, "name": "Müller"}\r\n', encoding=encoding)
    assert texts_of(object_in(str(path)) or {}) == {"lr": "0.10", "name": "Müller"}


@pytest.mark.parametrize("data", [b"", b"[1]", b"3", b'{"a": ', b"\xff\xfe{", b"{" * 100_000])
def test_a_job_that_is_no_object_has_no_parameters(tmp_path, data):
    path = tmp_path / "job"
    path.write_bytes(data)
    assert object_in(str(path)) is None


def test_variables_that_would_be_one_are_left_out():
    subject = Subject("job", "/job", {"A": "1", "a": "2", "x.y": "3", "x_y": "4", "lr": "5"})
    told = environment(subject)
    assert {name for name in told if "PARAM" in name} == {"DIRJOBS_PARAM_LR"}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"[1]", "item 1: an object"),
        (b'{"a": 1}\n2\n', "line 2: an object"),
        (b'{"a": 1}\n{"a": \n', "line 2: "),
        (b'[\n{"a": 1},\n oops]', "line 3: "),
        (b'{"a": NaN}', "NaN is no JSON value"),
        (b'{"a": 1e400}', "1e400 is larger than any number; write it as a text"),
        (b"\xff", "not UTF-8"),
        (b'{"a": "\\udc80"}', "not Unicode text"),
        (b"[" * 100_000, "line 1"),
    ],
)
def test_json_that_makes_no_sense(tmp_path, data, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        read(json_rows, tmp_path, data)
    assert "table" in str(caught.value)


# -- names ----------------------------------------------------------------------------------


def named(*rows, pattern=None, suffix=".json"):
    rows = [json.loads(json.dumps(row), parse_int=Number, parse_float=Number) for row in rows]
    return Naming(pattern, suffix).names(rows)


def test_names_show_the_parameters():
    rows = [{"lr": 0.1, "seed": seed, "opt": "adam", "b2": 3, "ok": True} for seed in (3, 12)]
    assert named(*rows) == [
        "lr0.1_seed3_opt-adam_b2-3_ok-true.json",
        "lr0.1_seed12_opt-adam_b2-3_ok-true.json",
    ]


def test_names_are_portable_and_unlike_each_other():
    rows = [{"x": value} for value in ("a b", "a/b", "a:b", "ä", "", None, [1, 2], "A b")]
    rows += [{"x": 1}, {"x": 1}]
    found = named(*rows)
    assert len({name.casefold() for name in found}) == len(rows)
    assert [name[:6] for name in found[:3]] == ["x-a-b-"] * 3
    assert found[-2:] == ["x1.json", "x1-2.json"]
    for name in found:
        check_new_job(name)


def test_a_name_depends_on_nothing_but_the_parameters():
    rows = [{"x": value, "seed": 7} for value in ("a b", "a/b", "a-b", "x" * 200, "c")]
    together = named(*rows)
    assert together == [named(row)[0] for row in rows]
    assert named(*reversed(rows)) == together[::-1]


def test_long_names_end_with_a_digest():
    rows = [{f"parameter{n}": number for n in range(20)} for number in range(12)]
    found = named(*rows)
    assert found[1].startswith("parameter0-1_parameter1-1_")
    assert len(set(found)) == 12
    assert max(map(len, found)) <= LONGEST
    assert named(*rows) == found


@pytest.mark.parametrize("row", [{}, {".hidden": 1}, {"": ".x"}])
def test_odd_parameters_get_a_name_all_the_same(row):
    (name,) = named(row)
    check_new_job(name)


def test_a_pattern():
    rows = [{"lr": 0.1, "seed": seed} for seed in (9, 10)]
    assert named(*rows, pattern="{lr}_{seed}.inp") == ["0.1_9.inp", "0.1_10.inp"]
    assert named(*rows, pattern="run{number}") == ["run1", "run2"]


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("{lr}.inp", "gives '0.1.inp' to jobs 1 and 2"),
        ("{learning_rate}", r"placeholder \{learning_rate\}.*known: \{lr\}, \{seed\}"),
        ("a/{seed}", "can't be used"),
        (".{seed}", "can't be used"),
    ],
)
def test_a_pattern_that_makes_no_sense(pattern, told):
    with pytest.raises((ConfigurationError, InvalidName), match=told):
        named({"lr": 0.1, "seed": 1}, {"lr": 0.1, "seed": 2}, pattern=pattern)


def test_templates():
    values = {"lr": "0.1", "a-b": "x"}
    text = '{"lr": {lr}, "deep": {"x": {}}} {a-b} {{lr}} { lr } ${lr} {0}'
    assert filled(text, values, "it") == ('{"lr": 0.1, "deep": {"x": {}}} x {lr} { lr } $0.1 {0}')


def test_templates_and_commands_have_one_language():
    values = {"lr": "0.1", "a.b": "x", "deep er": "y"}
    text = "{lr} {a.b} {param:lr} {param:a.b} {param:deep er} {{lr}} {{a.b}} {{param:lr}} { lr }"
    told = "0.1 x 0.1 x y {lr} {a.b} {param:lr} { lr }"
    assert filled(text, values, "it") == told
    assert fill_argument(text, Subject("job", "/job", values)) == told


def test_what_only_one_of_them_leaves_alone():
    subject = Subject("a.json", "/jobs/a.json", {"lr": "0.1"})
    text = "${lr} {} {{.ID}} {a.b} {{none}}"
    assert fill_argument(text, subject) == "${lr} /jobs/a.json {{.ID}} {a.b} {none}"
    assert filled("${lr} {} {{.ID}} {{none}}", {"lr": "0.1"}, "it") == "$0.1 {} {.ID} {none}"


def test_a_job_without_parameters_leaves_all_words_alone():
    subject = Subject("a.txt", "/jobs/a.txt")
    assert fill_argument("{print} {{print}} {{name}} {name} {stem}", subject) == (
        "{print} {{print}} {name} a.txt a"
    )


@pytest.mark.parametrize("placeholder", ["{rl}", "{param:rl}", "{param:r.l}"])
def test_a_placeholder_that_nobody_fills(placeholder):
    with pytest.raises(ConfigurationError, match="it has the placeholder"):
        filled(placeholder, {"lr": "0.1"}, "it")
    with pytest.raises(UnknownParameter, match="is no parameter of job 'job'"):
        fill_argument(placeholder, Subject("job", "/job", {"lr": "0.1"}))


def test_the_content_is_json():
    assert json.loads(content_of({"ä": 1, "b": [True]})) == {"ä": 1, "b": [True]}
