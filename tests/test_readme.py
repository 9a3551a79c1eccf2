"""What the README, the documentation pages and CONTRIBUTING say must be true."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from scdiff import __version__
from scdiff.cli import app, main
from scdiff.steps.fraction.step import COLUMNS
from scdiff.vocabulary import VERDICTS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PIPELINES = (ROOT / "pipelines" / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
DOCS = {
    f"docs/{path.name}": path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "docs").glob("*.md"))
}
TEXTS = {
    "README.md": README,
    "CONTRIBUTING.md": CONTRIBUTING,
    "pipelines/README.md": PIPELINES,
    "CHANGELOG.md": CHANGELOG,
} | DOCS
TABLES = DOCS["docs/tables.md"]
FOREIGN = {
    "--help",
    "--snakefile",
    "--keep-going",
    "--retries",
    "--unlock",
    "--resources",
    "--sync",
}  # of snakemake and jupytext
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def options_of(command: str) -> set[str]:
    """Options of a command; of a group, those of all its commands."""
    found = [COMMANDS[command], *getattr(COMMANDS[command], "commands", {}).values()]
    return {option for one in found for parameter in one.params for option in parameter.opts}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shell_lines(text: str) -> list[list[str]]:
    lines = [
        line.removeprefix("$ ") for block in blocks(text, "console") for line in block.splitlines()
    ]
    return [shlex.split(line, comments=True) for line in lines]


def inline_commands(text: str) -> list[list[str]]:
    return [shlex.split(code) for code in re.findall(r"`(scdiff [^`]+)`", text)]


def first_column(title: str) -> list[str]:
    """Names in the first column of the table under this heading."""
    table = TABLES.split(f"\n| {title} |", 1)[1].split("\n\n", 1)[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]


def words(text: str) -> str:
    return re.sub(r"[\d.]*\d", "#", text)


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"[\d.]*\d", text)]


def test_the_readme_is_short() -> None:
    assert 50 < len(README.splitlines()) <= 90


@pytest.mark.parametrize("name", TEXTS)
def test_every_scdiff_command_and_option_exists(name: str) -> None:
    said = [
        words
        for words in shell_lines(TEXTS[name]) + inline_commands(TEXTS[name])
        if words[0] == "scdiff"
    ]
    assert said or name not in ("README.md", "docs/commands.md")
    for line in said:
        assert line[1] in COMMANDS, line
        unknown = {word for word in line[2:] if word.startswith("-")} - options_of(line[1])
        assert unknown == set(), line


@pytest.mark.parametrize("name", TEXTS)
def test_every_option_named_in_the_text_exists(name: str) -> None:
    named = {words.split()[0] for words in re.findall(r"`(--[^`]+)`", TEXTS[name])}
    known = set().union(*(options_of(command) for command in COMMANDS)) | FOREIGN
    assert named - known == set()


def test_the_page_of_commands_names_all_of_them() -> None:
    page = DOCS["docs/commands.md"]
    named = {
        words[1] for words in shell_lines(page) + inline_commands(page) if words[0] == "scdiff"
    }
    assert named == set(COMMANDS)


def test_the_readme_links_every_page() -> None:
    assert [name for name in DOCS if f"({name})" not in README] == []


def test_python_m_scdiff_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scdiff", "--version"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["scdiff", __version__]


def test_every_make_target_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    named = {words[1] for words in shell_lines(README) if words[0] == "make"} | set(
        re.findall(r"`make ([\w-]+)`", "".join(TEXTS.values()))
    )
    assert {"demo", "test", "lint"} <= named
    targets = {
        target
        for line in re.findall(r"^([a-z][\w -]*):", makefile, re.MULTILINE)
        for target in line.split()
    }
    assert named - targets == set()


def test_every_extra_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    paragraph = DOCS["docs/extras.md"].split("Extras, as in", 1)[1].split("\n\n", 1)[0]
    assert set(re.findall(r"`(\w+)`", paragraph)) == set(extras)
    assert set(re.findall(r"\.\[(\w+)\]", "".join(TEXTS.values()))) <= set(extras)


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_leads_somewhere(name: str) -> None:
    links = [
        link
        for link in re.findall(r"\]\(([^)]+)\)", TEXTS[name])
        if not link.startswith("https://")
    ]
    anchors = {
        "#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", TEXTS[name], re.MULTILINE)
    }
    assert [
        link for link in links if link not in anchors and not ((ROOT / name).parent / link).exists()
    ] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_every_path_of_the_project_exists(name: str) -> None:
    paths = re.findall(
        r"`((?:scdiff|tests|test_data|pipelines|notebooks|\.ci)/[\w/.]*)`", TEXTS[name]
    )
    assert paths or name == "README.md"
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_table_of_columns_is_the_interface() -> None:
    assert tuple(first_column("column")) == COLUMNS


def test_the_table_of_verdicts_names_every_verdict() -> None:
    assert first_column("verdict") == list(VERDICTS)


def test_the_example_on_the_test_data_is_valid(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    sheets = [
        words[words.index("--samples") + 1] for words in shell_lines(README) if "--samples" in words
    ]
    assert sheets == ["test_data/samples.csv"]
    assert main(["check", "--samples", sheets[0], "--set", "call.fdr=0.01"]) == 0
    assert "No step was run" in capsys.readouterr().out


def test_the_python_example_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    (example,) = [
        block for block in blocks(DOCS["docs/python.md"], "python") if block.startswith(">>>")
    ]
    case = doctest.DocTestParser().get_doctest(example, {}, "python.md", "python.md", 0)
    assert len(case.examples) == 8
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
        case, out=said.append
    )
    assert result.failed == 0, "".join(said)


def test_the_columns_of_the_trajectory_are_described():
    from scdiff.report.sections.trajectory import _build_verdict

    described = TABLES.split("## trajectory.csv")[1].split("\n## ")[0]
    cells = [line.split("|")[1] for line in described.splitlines() if line.startswith("| `")]
    assert re.findall(r"`(\w+)`", "".join(cells)) == list(_build_verdict({}).columns)


def test_the_citation_names_this_version_and_its_licence():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert cited["version"] == __version__
    assert cited["license"] == project["license"]
    assert cited["authors"] == project["authors"]


@pytest.mark.long
def test_the_demo_says_and_writes_what_the_readme_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (output,) = blocks(README, "text")
    assert main(["demo", "--out", "demo"]) == 0
    out, err = capsys.readouterr()
    assert not re.search("Traceback|Warning", err)
    said = "\n".join(out.splitlines()[-3:]) + "\n"
    assert "inside the interval" in said
    assert words(said) == words(output)
    assert numbers(said) == pytest.approx(
        numbers(output), abs=0.3
    )  # percentage points: library versions move the last digit
    patterns = first_column("in `DIR`")
    assert len(patterns) > 6
    assert [pattern for pattern in patterns if not list((tmp_path / "demo").glob(pattern))] == []
    first = (tmp_path / "demo" / "tables" / "fractions.csv").read_bytes()
    assert main(["demo", "--out", "demo", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert (err, len(out.splitlines())) == ("", 1)
    assert (tmp_path / "demo" / "tables" / "fractions.csv").read_bytes() == first
    assert main(["run", "--config", "demo/run.yaml", "--out", "demo", "--quiet"]) == 0
    assert words(capsys.readouterr().out) == words(output.splitlines()[0] + "\n")
