import pytest
from hypothesis import given
from hypothesis import strategies as st

from lydite_code.printed import prints_the_same


@pytest.mark.parametrize(
    ("expected", "output", "options", "same"),
    [
        ("1\n2\n", "1\n2\n", {}, True),
        ("1\n2\n", "1\n2", {}, True),
        ("1\n2\n", "1 \r\n2\n\n", {}, True),
        ("1\n2\n", "1\n", {}, False),
        ("1\n2\n", "1\n2\n3\n", {}, False),
        ("1\n2\n", "1\n\n2\n", {}, False),
        (" 1\n", "1\n", {}, False),
        ("1 2", "1  2", {}, False),
        ("", "\n \n", {}, True),
        ("1\n", "1", {"whitespace": "exact"}, False),
        ("1\n", "1\n", {"whitespace": "exact"}, True),
        ("1 2\n3", "1\n2 3", {"whitespace": "tokens"}, True),
        ("1 2\n3", "1 2", {"whitespace": "tokens"}, False),
        ("12", "1 2", {"whitespace": "tokens"}, False),
        ("0.5", "0.50000001", {}, False),
        ("0.5", "0.50000001", {"tolerance": 1e-6}, True),
        ("0.5", ".5", {"tolerance": 1e-6}, True),
        ("0.5", "0.6", {"tolerance": 1e-6}, False),
        ("a 0.5", "b 0.5", {"tolerance": 1e-6}, False),
        ("3", "3.0000001", {"tolerance": 1e-6}, False),
        ("1.0\n2.0", "1.0 2.0", {"tolerance": 1e-6}, False),
        ("1.0\n2.0", "1.0 2.0", {"tolerance": 1e-6, "whitespace": "tokens"}, True),
        ("0.5", "nan", {"tolerance": 0.9}, False),
        ("0.5", "inf", {"tolerance": 0.9}, False),
        ("0.5", "0_5.0", {"tolerance": 0.9}, False),
        ("0.5", "1e999", {"tolerance": 0.9}, False),
        ("é", "é", {}, True),
        ("3", "3\0", {}, False),
    ],
)
def test_the_whole_output_counts(expected, output, options, same):
    assert prints_the_same(expected, output.encode(), **options) is same


def test_output_that_is_no_text():
    assert not prints_the_same("\ufffd", b"\xff")
    assert not prints_the_same("", b"\xff")


@given(st.text(), st.sampled_from(["exact", "trailing", "tokens"]))
def test_a_text_is_itself(text, whitespace):
    text = text.encode("utf-8", "replace").decode()
    assert prints_the_same(text, text.encode(), whitespace=whitespace)


@given(st.lists(st.sampled_from(["1", "2.5", "x"]), min_size=1), st.sampled_from(["exact", "trailing", "tokens"]))
def test_a_line_less_is_not_the_same(lines, whitespace):
    whole, short = "\n".join(lines), "\n".join(lines[:-1])
    assert not prints_the_same(whole, short.encode(), whitespace=whitespace, tolerance=0.1)
