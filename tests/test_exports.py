"""What users import: the names that are promised, no more and no less."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

import scdiff
from scdiff.run.pipeline import STEPS, step_functions

FRONTS = ("datasets", "get", "io", "pp", "tl", "pl")
HEAVY = (
    "scanpy",
    "anndata",
    "numba",
    "pandas",
    "matplotlib",
    "scipy",
    "sklearn",
    "igraph",
    "plotly",
    "umap",
)


def heavy_after(code: str) -> str:
    """Heavy libraries that are loaded after some code ran in a process of its own."""
    script = (
        f"import sys\n{code}\nprint(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    ).stderr.strip()


def test_the_package_names_its_parts() -> None:
    assert set(scdiff.__all__) == {
        "datasets",
        "get",
        "io",
        "pl",
        "pp",
        "programs",
        "report",
        "simulate",
        "tl",
    }
    assert {name for name in dir(scdiff) if not name.startswith("_")} == set(scdiff.__all__)
    assert all(getattr(scdiff, name).__name__ == f"scdiff.{name}" for name in scdiff.__all__)


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(
        AttributeError, match="module 'scdiff' has no attribute 'plot'; it has datasets, get, io"
    ):
        scdiff.plot  # noqa: B018


@pytest.mark.parametrize("name", FRONTS)
def test_a_front_names_what_can_be_imported(name: str) -> None:
    front = import_module(f"scdiff.{name}")
    assert len(set(front.__all__)) == len(front.__all__)
    assert sorted(dir(front)) == sorted(front.__all__)
    for entry in front.__all__:
        function = getattr(front, entry)
        assert callable(function)
        assert function.__name__ == entry
        assert function.__doc__


@pytest.mark.parametrize("name", FRONTS)
def test_a_front_refuses_unknown_names(name: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        import_module(f"scdiff.{name}").nothing  # noqa: B018


def test_every_step_is_in_a_front() -> None:
    named = {entry for name in FRONTS for entry in import_module(f"scdiff.{name}").__all__}
    assert set(STEPS) - {"report"} <= named
    for name, function in step_functions().items():
        assert function.__name__ == name


@pytest.mark.parametrize(
    "name",
    [
        "errors",
        "registry",
        "keys",
        "genes",
        "programs",
        "options",
        "record",
        "simulate",
        "cli",
        "report",
        "storage.checkpoint",
        "storage.atomic",
        "storage.h5ad",
        "run.pipeline",
        "run.progress",
        "fetch.sources",
    ],
)
def test_a_module_holds_what_it_promises(name: str) -> None:
    module = import_module(f"scdiff.{name}")
    assert all(hasattr(module, entry) for entry in module.__all__)


def test_the_version_is_that_of_the_distribution() -> None:
    try:
        installed = metadata.version("scdiff-markers")
    except metadata.PackageNotFoundError:
        installed = ""
    if not installed:
        pytest.skip("scdiff-markers is not installed here, it is imported from the tree")
    assert scdiff.__version__ == installed


def test_the_version_is_a_version() -> None:
    assert [part.isdigit() for part in scdiff.__version__.split(".")] == [True, True, True]


@pytest.mark.parametrize(
    "code",
    [
        "import scdiff",
        "import scdiff.io, scdiff.pp, scdiff.tl, scdiff.pl, scdiff.cli",
        "from scdiff.cli import main; main(['--help'])",
        "from scdiff.cli import main; main(['run', '--help'])",
        "from scdiff.cli import main; main(['--version'])",
        "from scdiff.cli import main; main(['programs'])",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    assert heavy_after(code) == "[]"


def test_the_package_is_typed_data_and_code_only() -> None:
    suffixes = {
        path.suffix
        for path in Path(scdiff.__file__).parent.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert suffixes <= {
        ".py",
        ".toml",
        ".tsv",
        ".csv",
        ".gz",
        ".j2",
        ".css",
        ".js",
        ".txt",
        ".typed",
        ".json",
        ".yaml",
        ".md",
    }
    assert (Path(scdiff.__file__).parent / "py.typed").is_file()  # PEP 561
