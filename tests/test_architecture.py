"""The rules of the house that a machine can check: layers, sizes, signatures, docstrings, no side effects."""

from __future__ import annotations

import ast
import io
import re
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "scdiff"
MODULES = {
    ".".join(("scdiff", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    ): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}

LAYERS = (
    ("scdiff.errors", "scdiff.vocabulary", "scdiff.accessor"),
    ("scdiff.registry", "scdiff.bounded", "scdiff.palette", "scdiff.compiled"),
    ("scdiff.keys",),
    ("scdiff.genes",),
    ("scdiff.programs",),
    ("scdiff.record", "scdiff.options"),
    ("scdiff.compute", "scdiff.assay", "scdiff.simulate"),
    ("scdiff.storage",),
    ("scdiff.steps",),
    ("scdiff.report",),
    ("scdiff.batches",),
    ("scdiff.panels",),
    ("scdiff.fetch", "scdiff.run"),
    ("scdiff.cli", "scdiff.__main__"),
)
"""Imports go from a later line to an earlier one, or stay within one entry. Within a line, only those below."""

BESIDE = {("scdiff.__main__", "scdiff.cli")}

FRONTS = ("scdiff.datasets", "scdiff.get", "scdiff.io", "scdiff.pp", "scdiff.tl", "scdiff.pl")
MAX_BODY, MEDIAN_BODY, MAX_MODULE, MAX_OPTIONS, MAX_NESTING = 40, 10, 300, 6, 3

Function = ast.FunctionDef | ast.AsyncFunctionDef


def imports(name: str) -> set[str]:
    """Modules of scdiff that a module imports, also inside functions and for type checking."""
    package = name if MODULES[name].name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            found |= {
                f"{source}.{alias.name}" if f"{source}.{alias.name}" in MODULES else source
                for alias in node.names
            }
    return {module for module in found if module in MODULES and module != name}


def layer(name: str) -> tuple[int, str]:
    """Place of a module among the layers, and its entry there."""
    for place, entries in enumerate(LAYERS):
        for entry in entries:
            if name == entry or name.startswith(f"{entry}."):
                return place, entry
    raise AssertionError(f"{name} has no layer: enter it in LAYERS")


def functions() -> Iterator[tuple[str, Function]]:
    """All functions and methods, with the module before their name."""
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{name}.{node.name}", node


def public_functions() -> Iterator[tuple[str, Function]]:
    """Functions and methods that a user may call: no underscore in the path of module, class and name."""
    for name, tree in TREES.items():
        if "._" in name:
            continue
        holders = [
            tree,
            *(
                node
                for node in tree.body
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
            ),
        ]
        for holder in holders:
            for node in holder.body:
                if isinstance(node, Function) and not node.name.startswith("_"):
                    yield f"{name}.{node.name}", node


def code_lines(text: str) -> set[int]:
    """Numbers of the lines that hold code: neither blank, nor comment, nor docstring."""
    skipped = {
        tokenize.COMMENT,
        tokenize.NL,
        tokenize.NEWLINE,
        tokenize.INDENT,
        tokenize.DEDENT,
        tokenize.ENCODING,
        tokenize.ENDMARKER,
    }
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return lines


LINES = {name: code_lines(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


def body_size(name: str, node: Function) -> int:
    """Code lines of a function's body, its docstring not counted."""
    module = max((other for other in MODULES if name.startswith(f"{other}.")), key=len)
    return len(
        {line for line in LINES[module] if node.body[0].lineno <= line <= (node.end_lineno or 0)}
    )


def nesting(node: ast.AST) -> int:
    """Depth of blocks inside blocks; an elif counts as its if."""
    deepest = 0
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, Function):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If)
            block = (
                isinstance(child, ast.If | ast.For | ast.While | ast.With | ast.Try) and not is_elif
            )
            deepest = max(deepest, nesting(child) + block)
    return deepest


def is_front(name: str) -> bool:
    """Whether a module only names functions of others."""
    return name == "scdiff" or name in FRONTS


# --- layers ---------------------------------------------------------------------------------------------------------


def test_every_module_has_a_layer() -> None:
    assert {entry for entries in LAYERS for entry in entries} <= set(MODULES)
    assert all(layer(name) for name in MODULES if not is_front(name))


@pytest.mark.parametrize("name", [name for name in MODULES if not is_front(name)])
def test_imports_go_one_way(name: str) -> None:
    place, entry = layer(name)
    for other in imports(name):
        if other == "scdiff":
            continue  # the version
        assert other not in FRONTS, (
            f"{name} imports the front {other}; import from where the function lives"
        )
        place_of_other, entry_of_other = layer(other)
        allowed = place_of_other < place or entry == entry_of_other or (name, other) in BESIDE
        assert allowed, f"{name} imports {other}, which is above or beside it"


def test_no_step_imports_another_step() -> None:
    steps = {
        name: name.removeprefix("scdiff.steps.").split(".")[0]
        for name in MODULES
        if name.startswith("scdiff.steps.")
    }
    for name, verb in steps.items():
        others = {steps[other] for other in imports(name) if other in steps}
        assert others <= {verb, "shared"}, f"{name} imports another step"
        assert verb != "shared" or others <= {"shared"}, f"{name} imports a step"


def test_no_file_of_the_steps_is_private() -> None:
    assert [name for name in MODULES if name.startswith("scdiff.steps.") and "._" in name] == []


def test_a_package_only_names_what_its_modules_define() -> None:
    for name, path in MODULES.items():
        if path.name == "__init__.py" and name not in (
            "scdiff",
            "scdiff.cli",
            "scdiff.report.sections",
        ):
            defined = [
                node for node in TREES[name].body if isinstance(node, Function | ast.ClassDef)
            ]
            assert defined == [], f"{name} defines something"


def test_no_import_cycle() -> None:
    waiting = {name: imports(name) - {"scdiff"} for name in MODULES if name != "scdiff"}
    for (
        name,
        path,
    ) in (
        MODULES.items()
    ):  # a package and its own modules are one unit where its __init__ gathers them
        if path.name == "__init__.py" and name in waiting:
            for child in [other for other in waiting if other.startswith(f"{name}.")]:
                waiting[child] = waiting[child] - {name}
    while free := [name for name, needs in waiting.items() if not needs & set(waiting)]:
        for name in free:
            del waiting[name]
    assert not waiting, f"these modules import each other: {sorted(waiting)}"


@pytest.mark.parametrize("name", FRONTS)
def test_fronts_only_name_functions(name: str) -> None:
    defined = [node.name for node in TREES[name].body if isinstance(node, Function | ast.ClassDef)]
    assert set(defined) <= {"__getattr__", "__dir__"}
    assert len(LINES[name]) < 60


# --- sizes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_modules_are_short(name: str) -> None:
    assert len(LINES[name]) <= MAX_MODULE


def test_function_bodies_are_short() -> None:
    sizes = {name: body_size(name, node) for name, node in functions()}
    assert {name: size for name, size in sizes.items() if size > MAX_BODY} == {}
    assert statistics.median(sizes.values()) <= MEDIAN_BODY


def test_blocks_are_not_deeply_nested() -> None:
    assert {name: nesting(node) for name, node in functions() if nesting(node) > MAX_NESTING} == {}


def test_public_functions_take_few_options() -> None:
    named = {
        name: [argument.arg for argument in node.args.kwonlyargs]
        for name, node in public_functions()
    }
    assert {name: options for name, options in named.items() if len(options) > MAX_OPTIONS} == {}


def test_public_functions_take_few_positional_arguments() -> None:
    # compiled kernels take arrays; a command's words are its options
    exempt = ("scdiff.assay.kernel.", "scdiff.assay.null_kernel.", "scdiff.cli.")
    counts = {
        name: len(node.args.posonlyargs + node.args.args)
        for name, node in public_functions()
        if not name.startswith(exempt)
    }
    assert {name: count for name, count in counts.items() if count > MAX_OPTIONS} == {}


def test_public_functions_take_no_open_options() -> None:
    assert {name for name, node in public_functions() if node.args.kwarg} == set()


def test_no_mutable_defaults() -> None:
    for name, node in functions():
        for default in (*node.args.defaults, *node.args.kw_defaults):
            assert not isinstance(default, ast.List | ast.Dict | ast.Set), (
                f"{name} has a default that can change"
            )


# --- docstrings -----------------------------------------------------------------------------------------------------


def test_every_module_says_what_it_is() -> None:
    empty = {name for name, tree in TREES.items() if not ast.get_docstring(tree)}
    assert {name for name in empty if LINES[name]} == set()


def test_public_functions_have_a_docstring_of_one_sentence_first() -> None:
    for name, node in public_functions():
        text = ast.get_docstring(node)
        assert text, f"{name} has no docstring"
        assert text.splitlines()[0].endswith((".", "::")), f"{name}: the first line is no sentence"


def raised(node: Function) -> set[str]:
    """Classes that a function raises itself, by name; bare re-raises and nested functions left out."""
    found = set()
    stack: list[ast.AST] = list(node.body)
    while stack:
        child = stack.pop()
        if isinstance(child, Function):
            continue
        if (
            isinstance(child, ast.Raise)
            and isinstance(child.exc, ast.Call)
            and isinstance(child.exc.func, ast.Name)
        ):
            found.add(child.exc.func.id)
        stack += ast.iter_child_nodes(child)
    return {name for name in found if not name.startswith("_")}


def test_what_public_functions_raise_is_documented() -> None:
    for name, node in public_functions():
        section = re.search(
            r"Raises\n-+\n(.*?)(\n\n[A-Z][a-z]+\n-+|\Z)", ast.get_docstring(node) or "", re.DOTALL
        )
        documented = section.group(1) if section else ""
        for error in raised(node):
            assert re.search(rf"\b({error}|ScdiffError)\b", documented), (
                f"{name} raises {error}, its docstring does not say so"
            )


# --- habits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODULES)
def test_nothing_prints_exits_or_asserts(name: str) -> None:
    for node in ast.walk(TREES[name]):
        assert not isinstance(node, ast.Assert), f"{name}:{node.lineno} asserts"
        if isinstance(node, ast.Call) and not name.startswith("scdiff.cli"):
            called = ast.unparse(node.func)
            assert called not in {"print", "sys.exit", "exit", "quit", "typer.echo"}, (
                f"{name}:{node.lineno} calls {called}"
            )


@pytest.mark.parametrize("name", MODULES)
def test_no_catch_all(name: str) -> None:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in {"everything", "Exception", "BaseException"}, (
                f"{name}:{node.lineno} catches {caught}"
            )


def test_no_global_random_state() -> None:
    for name, path in MODULES.items():
        used = re.findall(
            r"np\.random\.(?!default_rng|Generator|SeedSequence|RandomState)\w+",
            path.read_text(encoding="utf-8"),
        )
        assert not used, f"{name} uses {used}"


SIDE_EFFECTS = """
import logging, sys, warnings
import numpy as np
import matplotlib
np.random.seed(1)
def state():
    loggers = {name: list(logging.getLogger(name).handlers) for name in ("", "scdiff", "scanpy", "anndata", "numba")}
    return loggers, dict(matplotlib.rcParams), list(warnings.filters), np.random.get_state()[1].tolist(), logging.getLogger().level
import pydantic, yaml, typer, rich.console, scipy.special, scipy.optimize, scipy.sparse, numba
before = state()
import scdiff, scdiff.cli, scdiff.run.pipeline, scdiff.simulate, scdiff.run.progress
for name in ("io", "pp", "tl", "pl"):
    front = getattr(scdiff, name)
    for entry in front.__all__:
        getattr(front, entry)
after = state()
print([part for part, (one, other) in enumerate(zip(before, after)) if one != other])
"""


def test_importing_changes_nothing_elsewhere() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SIDE_EFFECTS], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
