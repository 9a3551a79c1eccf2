"""Errors: one tree, each with its exit code and a readable message."""

from __future__ import annotations

import inspect

import pytest

from scdiff import errors
from scdiff.errors import MissingKeyError, ScdiffError, did_you_mean

CODES = {
    "ScdiffError": 1,
    "ConfigError": 2,
    "UnknownNameError": 2,
    "ProgramError": 2,
    "InputError": 3,
    "MissingKeyError": 4,
    "OutputError": 5,
}


def test_the_tree_is_complete() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, ScdiffError)
    }
    assert {name: value.exit_code for name, value in classes.items()} == CODES
    assert set(errors.__all__) == {*CODES, "did_you_mean"}


@pytest.mark.parametrize("name", CODES)
def test_every_code_stands_in_the_map_of_the_module(name: str) -> None:
    line = next(line for line in errors.__doc__.splitlines() if name in line)
    assert line.split(name)[1].split()[0] == str(CODES[name])


@pytest.mark.parametrize("name", CODES)
def test_messages_are_shown_as_they_are(name: str) -> None:
    error = getattr(errors, name)("call reads 'x': run \"qc\" first.")
    assert str(error) == "call reads 'x': run \"qc\" first."


def test_a_missing_key_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="run qc first"):
        raise MissingKeyError("run qc first")


@pytest.mark.parametrize(
    ("name", "known", "said"),
    [
        ("min_gene", ["min_genes", "seed"], "Did you mean 'min_genes'? Known: min_genes, seed."),
        ("xyz", ["min_genes", "seed"], "Known: min_genes, seed."),
        ("xyz", [], "Known: nothing."),
        ("a", iter(["aa"]), "Known: aa."),
    ],
)
def test_near_match(name: str, known: list[str], said: str) -> None:
    assert did_you_mean(name, known).endswith(said)
