"""Plain English: a list of idioms that readers stumble over, counted in all text that the package shows or documents."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_PER_1000 = 5.0
"""Idioms per 1,000 words that one file may hold; files of less than 200 words may hold one."""

IDIOMS = {
    r"\btold\b|\btell(s|ing)? (whether|which|how|what|where|apart|of)\b|\bcannot tell\b": "check, detect, state, distinguish",
    r"\banew\b|\bnor\b|\blest\b|\bupon\b|\bamid\b|\bwhence\b|\bthereof\b|\bwhereof\b|\bhence\b|\bshall\b": "again, and not, if",
    r"\balike\b|\bthe like\b|\bsuch as are\b": "the same, similar",
    r"\bbeside\b": "next to, in addition to",
    r"\b(stand|stands|stood|standing) (in|on|at|for|before|behind|beside|there|above|apart|together|where)\b": "is, are",
    r"\bwhere (none|no |there (is|are) (no|none)|it has none|nothing)": "if there is no",
    r"\b(is|are|was|were|has|have|had|there) none\b|\bnone (is|are|of them) (there|given|named)?": "is missing, there is no",
    r"\b(is|are|was|were) no (\w+ )?(?!more|longer|other)[a-z]+\b(?= (of|and|or|but)|[.,;:)])": "is not a",
    r"\b(cells|genes|markers|samples|donors|files|rows|columns) at (least|most)\b(?= that| which|[.,;:])": "at least n",
    r"\bfrom which on\b|\bof its (own )?making\b|\bis gone on\b|\bgoes on in\b|\bgo on with\b": "above which, continues",
    r"\b(is|are|was|were) asked\b|\basked of\b|\bis to be\b|\bare to be\b": "is sampled, must",
    r"\b(nothing|none|no \w+|anything) but\b|\ball but the\b": "only, except",
    r"\btaken (together|apart|for)\b|\btake(s)? .{1,20} for (a|an|the) \b": "pooled, split, mistaken for",
    r"\bof so (many|few)\b|\bso (many|few) (that|as)\b|\bas many as\b": "enough, the number of",
    r"\b(cells?|genes?|markers?|samples?|donors?|files?|rows?|columns?) who\b|\bwho (it|they) (is|are)\b": "that",
    r"\bcomes? along\b|\bgoes? along\b|\bmakes? up for\b|\bput(s)? .{1,20} by\b": "",
    r"\bit is said\b|\bis said so\b|\bsays? so\b|\bis known of\b|\bis (there )?of\b|\bare of\b": "report, belongs to",
    r"\bby (itself|themselves|hand) alone\b|\bfor (itself|themselves)\b|\beach for\b": "separately",
    r"\bmay be had\b|\bcan be had\b|\bis had\b|\bhas to say\b": "",
}
"""Idiom -> what to write."""


def docstrings(path: Path) -> Iterator[str]:
    """Texts of a module that explain it: docstrings of all levels, and those under constants."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield re.sub(
                r"``[^`]*``|:\w+:`[^`]*`|^\s*(>>>|\.\.\.).*$",
                " ",
                node.value.value,
                flags=re.MULTILINE,
            )


def sentences(path: Path) -> Iterator[str]:
    """Texts of a module that a user reads at run time: strings of at least four words outside docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documented
            and len(node.value.split()) > 3
        ):
            yield node.value


def idioms(text: str) -> list[str]:
    """Idioms in a text, as they are written there; ``CANNOT TELL`` is a decision."""
    text = text.replace("CANNOT TELL", "")
    return [
        found.group(0) for pattern in IDIOMS for found in re.finditer(pattern, text, re.IGNORECASE)
    ]


TO_REWORD: tuple[str, ...] = ()
"""Modules whose texts still hold more idioms than allowed; take one off the list when it is done."""

MODULES = sorted((ROOT / "scdiff").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "pipelines" / "README.md",
]


def refuse_idioms(text: str) -> None:
    """Fail if a text holds more idioms than allowed."""
    found, words = idioms(text), len(text.split())
    assert len(found) <= max(1.0, words * MOST_PER_1000 / 1000), (
        f"{len(found)} in {words} words: {sorted(set(found))}"
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstrings_and_messages_speak_plain_english(path: Path) -> None:
    if str(path.relative_to(ROOT / "scdiff")).startswith(TO_REWORD):
        pytest.skip("not reworded yet")
    refuse_idioms(" ".join([*docstrings(path), *sentences(path)]))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_speak_plain_english(path: Path) -> None:
    text = re.sub(r"```.*?```", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    refuse_idioms(re.sub(r"\| avoid \|.*?\n\n", " ", text, flags=re.DOTALL))


def test_the_list_finds_what_it_should() -> None:
    dialect = "Cells at least that are asked what is told; nor is a batch made anew. None where there is none."
    assert len(idioms(dialect)) >= 5
    assert idioms("Number of cells sampled for this check. Resumes a partial download.") == []


PARTICIPLES = re.compile(
    r"^_*(\w+ed|told|made|taken|found|given|said|seen|kept|drawn|written|known|shown|held|put)(_\w+)?$"
)
ALLOWED = {
    "dropped",
    "need",
    "read",
    "shed",
    "embed",
    "seed",
    "feed",
    "speed",
    "exceed",
    "bleed",
    "shared",
    "shaded",
    "sorted",
}


def test_public_functions_are_verbs() -> None:
    found = []
    for path in MODULES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                first = node.name.split("_")[0]
                if PARTICIPLES.match(first) and first not in ALLOWED:
                    found.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert found == []
