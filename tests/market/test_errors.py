"""Problems state their place; the code that read an input gives it its name."""

import pickle

import pytest

from margin_actors.errors import (
    InvalidPortfolio,
    Location,
    MissingMarketData,
    Problem,
    named_input,
)


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (Location("book"), "book"),
        (Location("book", "A"), "book, account A"),
        (Location("book", row=0), "book, row 0"),
        (Location("book", row=3, more_rows=2), "book, row 3 and 2 more"),
    ],
)
def test_a_location_is_text_in_a_message(location: Location, text: str) -> None:
    problem = Problem(location, "is wrong", "correct it")
    assert problem.where == text
    assert str(problem) == f"{text}: is wrong (correct it)"


def test_an_input_is_named_only_in_the_problems_that_concern_it() -> None:
    problems = [
        Problem(Location("book", "A"), "is too large"),
        Problem(Location("snapshot"), "is empty"),
        Problem("book", "is an argument of this name"),
    ]
    with pytest.raises(MissingMarketData) as caught, named_input("book", "a/book.csv"):
        raise MissingMarketData("missing", problems)
    assert [p.where for p in caught.value.problems] == ["a/book.csv, account A", "snapshot", "book"]


def test_a_named_error_keeps_its_attributes_and_can_be_pickled() -> None:
    error = InvalidPortfolio("too large", [Problem(Location("book", "A"), "is too large")])
    error.too_large = ("A",)
    with pytest.raises(InvalidPortfolio) as caught, named_input("book", "b.csv"):
        raise error
    assert caught.value is error
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems
    assert again.problems[0].where == "b.csv, account A"
    assert again.too_large == ("A",)
