"""A panel: the markers chosen on cells with known markers, the half that is held out, the files, every bad input."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

import scdiff
from scdiff.cli import main
from scdiff.errors import InputError, MissingKeyError
from scdiff.genes import annotation
from scdiff.panels import choose, files, learn, validate
from scdiff.panels.measure import measure_genes
from scdiff.panels.reference import Cells, halve, read_cells
from scdiff.panels.units import find_required, list_units
from scdiff.programs import load_program, program_names
from scdiff.programs.write import format_program

GOOD = ["CD79A", "MS4A1", "CD19"]
"""In the target only, all of its cells."""
TRAPS = {"MT-CO1": "mitochondrial", "XIST": "sex", "RPS12": "ribosomal", "DDX3Y": "sex"}
"""As good as the best markers by their counts, but ambiguous."""
N_CELLS = {"B": 120, "T": 200, "mono": 120}


def draw(seed: int = 0, *, shift: float = 1.0, donors: int = 0) -> AnnData:
    """Labelled cells with known markers: 400 plain genes, good markers, traps, one that also T cells express."""
    rng = np.random.default_rng(seed)
    plain = [gene for gene in sorted(annotation("human").coding) if gene.startswith("ZNF")][:400]
    names = [*GOOD, *TRAPS, "CD74", "CD37", *plain]
    labels = np.repeat(list(N_CELLS), list(N_CELLS.values()))
    rate = np.full((len(labels), len(names)), 4.0)
    rate[:, : len(names) - len(plain)] = 0.005
    inside = labels == "B"
    rate[np.ix_(inside, np.arange(len(GOOD) + len(TRAPS)))] = 8.0 * shift
    rate[inside, names.index("CD74")] = 8.0  # graded: a third of the level in monocytes
    rate[labels == "mono", names.index("CD74")] = 3.0
    rate[:, names.index("CD37")] = 8.0  # everywhere
    activity = rng.gamma(6, 1 / 6, (len(labels), len(names)))
    obs = pd.DataFrame(
        {"kind": labels, "leiden": np.unique(labels, return_inverse=True)[1].astype(str)},
        index=[f"cell{number}" for number in range(len(labels))],
    )
    if donors:
        obs["person"] = [f"p{number % donors}" for number in range(len(labels))]
    counts = sparse.csr_matrix(rng.poisson(rate * activity).astype(np.float32))
    return AnnData(counts, obs=obs, var=pd.DataFrame(index=names))


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Fewer sets, and fewer and smaller mixtures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choose, "TRIED", 2)
        patch.setattr(validate, "FRACTIONS", (0.0, 0.1))
        for module in (choose, validate):
            patch.setattr(module, "BATCH_CELLS", 800)
        yield


@pytest.fixture(scope="module")
def reference() -> AnnData:
    """Prepared cells; not to be changed."""
    adata = draw(donors=4)
    scdiff.pp.prepare(adata)
    return adata


@pytest.fixture(scope="module")
def learned(reference: AnnData) -> learn.Panel:
    """The panel of the prepared cells."""
    return scdiff.tl.panel(reference, label="kind", target="B")


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command; give exit code, standard output and standard error."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


# --- the choice -----------------------------------------------------------------------------------------------------


def test_the_known_markers_are_chosen(learned: learn.Panel) -> None:
    assert {marker.name for marker in learned.program.markers} == set(GOOD)
    assert learned.program.min_markers >= 2
    share = 8 / (4 * 400 + 8 * 8)  # of the counts of a B cell
    for marker in learned.program.markers:
        assert marker.level_cp10k == pytest.approx(1e4 * share, rel=0.3)


def test_the_chosen_markers_come_first_and_state_their_leak(learned: learn.Panel) -> None:
    table = learned.markers.set_index("gene")
    assert set(table.index[:3]) == set(GOOD)
    assert table["chosen"].tolist() == [True] * 3 + [False] * (len(table) - 3)
    assert (table.loc[GOOD, "worst_leak"] < 0.05).all()
    assert table.loc["CD74", "worst_leak"] > 0.7
    assert table.loc["CD74", "worst_label"] == "mono"
    assert not set(TRAPS) & set(table.index)


def test_the_validation_finds_a_good_panel_good(learned: learn.Panel) -> None:
    confusion = learned.confusion.set_index("label")
    assert learned.confusion["label"].iloc[0] == "B"
    assert confusion.loc["B", "called"] > 0.9
    assert confusion.loc[["T", "mono"], "called"].max() < 0.05
    titration = learned.titration
    assert not titration["false_find"].any()
    mixed = titration[titration["true"] > 0]
    assert (mixed["prevalence"] - mixed["true"]).abs().max() < 0.05
    worst = confusion.loc[["T", "mono"], "called"]
    assert f"({worst.idxmax()})" in learned.sentence
    assert all(gene in learned.sentence for gene in GOOD)
    assert "blanks detected 0 of 1" in learned.program.notes
    assert learned.warnings == ()


def test_a_required_marker_is_always_there(reference: AnnData) -> None:
    found = scdiff.tl.panel(
        reference, label="kind", target="B", require=["CD74", "MT-CO1"], markers=3
    )
    assert {"CD74", "MT-CO1"} < {marker.name for marker in found.program.markers}


def test_one_marker_alone_is_enough_only_if_one_is_wanted(reference: AnnData) -> None:
    found = scdiff.tl.panel(reference, label="kind", target="B", markers=1)
    assert (len(found.program.markers), found.program.min_markers) == (1, 1)


def test_the_order_of_the_cells_does_not_matter(reference: AnnData) -> None:
    cells = read_cells(reference, label="kind")
    order = np.random.default_rng(1).permutation(len(cells.names))
    shuffled = cells.pick(order)
    chosen, again = (halve(one, "B", 0)[0] for one in (cells, shuffled))
    assert set(cells.names[chosen]) == set(shuffled.names[again])


def test_a_gene_of_which_few_cells_hold_much_has_its_own_level() -> None:
    """A tenth of the target cells express a gene tenfold: its level is theirs, not the mean."""
    rng = np.random.default_rng(0)
    on = np.arange(1_000) < 100
    counts = np.column_stack([rng.poisson(40 * on), rng.poisson(4, 1_000)])
    labels = np.repeat(["target", "other"], [1_000, 1_000])
    both = sparse.csr_matrix(np.vstack([counts, np.zeros((1_000, 2))]))
    table = measure_genes(
        both,
        np.full(2_000, 4_000.0),
        labels,
        np.full(2_000, ""),
        target="target",
        names=["few", "all"],
    )
    assert table.loc["few", "level_cp10k"] == pytest.approx(100, rel=0.3)
    assert table.loc["few", "expressed"] == pytest.approx(0.1, abs=0.04)
    assert table.loc["all", "level_cp10k"] == pytest.approx(10, rel=0.1)
    assert table.loc["all", "expressed"] == pytest.approx(1, abs=0.05)


def test_an_abundant_gene_is_seen_in_contaminated_cells() -> None:
    """The soup of target cells shows an abundant gene in most other cells, not at its level."""
    labels = np.repeat(["target", "other"], [100, 100])
    counts = np.zeros((200, 2))
    counts[:100] = [2, 2_000]
    table = measure_genes(
        sparse.csr_matrix(counts),
        np.full(200, 4_000.0),
        labels,
        np.full(200, ""),
        target="target",
        names=["rare", "abundant"],
    )
    assert table["ambient"].between(0, 0.05).all()
    assert table.loc["abundant", "background_cp10k"] == pytest.approx(25)


# --- genes ----------------------------------------------------------------------------------------------------------


def test_ambiguous_genes_are_no_markers() -> None:
    genes = ["INS", "MT-CO1", "RPL3", "RPLP0", "MRPL12", "XIST", "UTY", "LINC00115", "NOT-A-GENE"]
    assert [unit.name for unit in list_units(genes, "human")] == ["INS"]
    kept = list_units(genes, "human", keep=["MT-CO1"])
    assert [unit.name for unit in kept] == ["INS", "MT-CO1"]


def test_mouse_genes_get_their_human_symbol() -> None:
    units = list_units(["Pdx1", "Ins1", "Ins2", "mt-Co1", "Gm12345"], "mouse")
    assert {unit.name: unit.genes for unit in units} == {
        "INS": ("Ins1", "Ins2"),
        "PDX1": ("Pdx1",),
    }
    assert find_required(["INS", "Pdx1"], ["Pdx1", "Ins2"], "mouse", "a.h5ad") == ["INS", "PDX1"]
    assert find_required(["Nkx6.1", "IPF1"], ["NKX6-1", "PDX1"], "human", "a") == ["NKX6-1", "PDX1"]


# --- the halves -----------------------------------------------------------------------------------------------------


def test_the_held_out_cells_are_not_learned_from(
    reference: AnnData, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[str]] = {}

    def note(name: str, function: Callable) -> Callable:
        def noted(cells: Cells, *words: object, **options: object) -> object:
            seen[name] = set(cells.names)
            return function(cells, *words, **options)

        return noted

    monkeypatch.setattr(learn, "_choose", note("learned", learn._choose))
    monkeypatch.setattr(learn, "call_labels", note("called", learn.call_labels))
    monkeypatch.setattr(learn, "titrate_held_out", note("titrated", learn.titrate_held_out))
    scdiff.tl.panel(reference, label="kind", target="B")
    assert seen["called"] == seen["titrated"]
    assert not seen["learned"] & seen["called"]
    assert seen["learned"] | seen["called"] == set(reference.obs_names)
    assert len(seen["learned"]) == pytest.approx(reference.n_obs / 2, abs=3)


def test_whole_donors_are_held_out(reference: AnnData) -> None:
    cells = read_cells(reference, label="kind", donor="person")
    chosen, warnings = halve(cells, "B", 0)
    assert warnings == []
    assert not set(cells.donors[chosen]) & set(cells.donors[~chosen])
    assert all((cells.labels[half] == "B").any() for half in (chosen, ~chosen))


def test_a_single_donor_is_said(reference: AnnData) -> None:
    one = reference.copy()
    one.obs["person"] = "p0"
    _, warnings = halve(read_cells(one, label="kind", donor="person"), "B", 0)
    assert "do" in warnings[0]
    assert "donors" in warnings[0]


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_writes_a_programme_that_runs(tmp_path: Path, say: Callable) -> None:
    draw().write_h5ad(tmp_path / "reference.h5ad")
    code, out, err = say(
        "panel",
        tmp_path / "reference.h5ad",
        "--label",
        "kind",
        "--target",
        "B",
        "--out",
        tmp_path / "o",
    )
    assert code == 0, err
    names = {path.name for path in (tmp_path / "o").iterdir()}
    assert names == {"b.toml", "panel.csv", "confusion.csv", "titration.csv", "panel.html"}
    assert "CD79A" in out
    assert "panel.html" in out
    program = load_program(str(tmp_path / "o" / "b.toml"))
    assert "sha256" in program.source
    assert "kind=B" in program.source
    assert len(pd.read_csv(tmp_path / "o" / "titration.csv")) == len(validate.FRACTIONS)
    page = (tmp_path / "o" / "panel.html").read_text()
    assert "<svg" in page
    assert "http" not in page.replace("http://www.w3.org", "")  # names of SVG
    other = draw(seed=1)
    scdiff.pp.prepare(other)
    scdiff.tl.call(other, programs=[str(tmp_path / "o" / "b.toml")], null_sets=0)
    scdiff.tl.fraction(other)
    row = scdiff.get.fractions(other, state="b", sample="all").iloc[0]
    assert row["prevalence"] == pytest.approx(120 / 440, abs=0.04)


def test_clusters_are_warned_about(reference: AnnData) -> None:
    cells = read_cells(reference, label="leiden")
    (warning,) = learn.check_cells(cells, "leiden", "0")
    assert "circular" in warning
    assert learn.check_cells(read_cells(reference, label="kind"), "kind", "B") == []


def test_a_file_keeps_the_names_of_its_columns(tmp_path: Path) -> None:
    """A run writes its own column ``leiden``, so ``load`` leaves it out; a panel reads it."""
    draw(donors=2).write_h5ad(tmp_path / "reference.h5ad")
    cells = files._read_file(tmp_path / "reference.h5ad", {}, label="leiden", donor="person")
    assert set(cells.labels) == {"0", "1", "2"}
    assert set(cells.donors) == {"p0", "p1"}
    assert "sha256" in cells.origin


def normalised(adata: AnnData) -> None:
    """Replace counts by logarithms."""
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray() / 7.3))


def few(adata: AnnData) -> AnnData:
    """Keep 19 target cells."""
    return adata[(adata.obs["kind"] != "B") | (np.arange(adata.n_obs) < 19)].copy()


def only_target(adata: AnnData) -> AnnData:
    """Keep one label."""
    return adata[adata.obs["kind"] == "B"].copy()


def few_others(adata: AnnData) -> AnnData:
    """Keep 19 cells of other labels."""
    return adata[:139].copy()


BAD = {
    "label": (
        [],
        None,
        ["--label", "kin", "--target", "B"],
        "no column 'kin'. Did you mean 'kind'",
        2,
    ),
    "target": ([], None, ["--label", "kind", "--target", "mon"], "Did you mean 'mono'", 2),
    "few": ([], few, ["--label", "kind", "--target", "B"], "19 cells have kind 'B'", 3),
    "one label": ([], only_target, ["--label", "kind", "--target", "B"], "--background", 3),
    "few others": (
        [],
        few_others,
        ["--label", "kind", "--target", "B"],
        "19 cells have another",
        3,
    ),
    "normalised": (
        [],
        normalised,
        ["--label", "kind", "--target", "B"],
        "raw counts|not counts|counts",
        3,
    ),
    "required": (
        ["--require", "CD79C"],
        None,
        ["--label", "kind", "--target", "B"],
        "'CD79C' has no row. Did you mean 'CD79A'",
        2,
    ),
    "number": (
        ["--markers", "9"],
        None,
        ["--label", "kind", "--target", "B"],
        "allowed: 1 to 6",
        2,
    ),
    "many required": (
        ["--markers", "1", "--require", "CD79A", "--require", "CD19"],
        None,
        ["--label", "kind", "--target", "B"],
        "2 markers are required",
        2,
    ),
    "donor": (
        ["--donor", "persons"],
        None,
        ["--label", "kind", "--target", "B"],
        "no column 'persons'",
        2,
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_sentence(case: str, tmp_path: Path, say: Callable) -> None:
    more, change, words, expected, code = BAD[case]
    adata = draw()
    changed = change(adata) if change else None
    (adata if changed is None else changed).write_h5ad(tmp_path / "reference.h5ad")
    found, _, err = say(
        "panel", tmp_path / "reference.h5ad", *words, *more, "--out", tmp_path / "o"
    )
    assert found == code, err
    assert any(part in err for part in expected.split("|")), err
    assert "Traceback" not in err
    assert not (tmp_path / "o").exists()


def test_a_background_of_another_species_is_refused(tmp_path: Path, say: Callable) -> None:
    adata = draw()
    adata.write_h5ad(tmp_path / "reference.h5ad")
    adata.var_names = [name.capitalize() for name in adata.var_names]
    adata.write_h5ad(tmp_path / "mouse.h5ad")
    code, _, err = say(
        "panel", tmp_path / "reference.h5ad", "--background", tmp_path / "mouse.h5ad",
        "--label", "kind", "--target", "B", "--out", tmp_path / "o",
    )  # fmt: skip
    assert code == InputError.exit_code
    assert "mouse.h5ad: the genes are those of mouse" in err


def test_a_file_given_twice_is_refused(tmp_path: Path, say: Callable) -> None:
    draw().write_h5ad(tmp_path / "reference.h5ad")
    code, _, err = say(
        "panel", tmp_path / "reference.h5ad", tmp_path / "reference.h5ad",
        "--label", "kind", "--target", "B", "--out", tmp_path / "o",
    )  # fmt: skip
    assert code == InputError.exit_code
    assert "the same file" in err


def test_an_object_that_is_not_prepared_is_refused() -> None:
    with pytest.raises(MissingKeyError, match=r"run scdiff\.pp\.prepare"):
        scdiff.tl.panel(draw(), label="kind", target="B")


def test_a_background_is_where_the_cells_are_mixed_into(reference: AnnData) -> None:
    """A gene that the background expresses is not chosen, and a missing row is said."""
    background = draw(seed=5)[120:].copy()
    counts = background.X.toarray()
    counts[:, background.var_names.get_loc("CD19")] = 8
    background.X = sparse.csr_matrix(counts)
    background = background[:, background.var_names != "MS4A1"].copy()
    background.obs_names = [f"other{number}" for number in range(background.n_obs)]
    scdiff.pp.prepare(background)
    found = scdiff.tl.panel(reference, background, label="kind", target="B", markers=2)
    assert {marker.name for marker in found.program.markers} == {"CD79A", "MS4A1"}
    assert any("MS4A1 has no row" in sentence for sentence in found.warnings)
    assert found.confusion["label"].str.startswith("background").any()


# --- programme files ------------------------------------------------------------------------------------------------


def test_the_template_is_a_valid_programme(tmp_path: Path, say: Callable) -> None:
    code, text, _ = say("programs", "--template")
    (tmp_path / "mine.toml").write_text(text)
    assert code == 0
    code, out, err = say("programs", "--check", tmp_path / "mine.toml")
    assert code == 0, err
    assert "Ins1, Ins2" in out
    assert "1000 per 10,000" in out


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('human = ["IAPP"]', 'human = ["IAPPP"]', "'IAPPP' is not an approved human symbol"),
        (
            'mouse = ["Ins1", "Ins2"]',
            'mouse = ["INS1"]',
            "'INS1' is not an approved mouse symbol: write 'Ins1'",
        ),
        ("min_markers = 2", "min_markers = 4", "min_markers is 4, but only 3"),
        ("level_cp10k = 3.0", "level_cp10k = -3.0", "greater than 0"),
    ],
)
def test_faults_of_a_programme_are_said(
    old: str, new: str, expected: str, tmp_path: Path, say: Callable
) -> None:
    text = say("programs", "--template")[1]
    assert old in text
    (tmp_path / "mine.toml").write_text(text.replace(old, new))
    code, _, err = say("programs", "--check", tmp_path / "mine.toml")
    assert code == 2
    assert expected in err


def test_a_written_programme_is_read_the_same(tmp_path: Path) -> None:

    for name in program_names():
        (tmp_path / "one.toml").write_text(format_program(load_program(name)), encoding="utf-8")
        assert load_program(str(tmp_path / "one.toml")) == load_program(name)


# --- real cells -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_b_cells_of_sorted_blood(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out B cells are counted within two points, and every marker is one of B cells."""
    adata = ad.read_h5ad(shared_data / "pbmc_facs_human.h5ad")
    truth = float((adata.obs["celltype"] == "CD19+ B").mean())
    scdiff.pp.prepare(adata)
    monkeypatch.setattr(validate, "FRACTIONS", (0.1, truth))
    for module in (choose, validate):
        monkeypatch.setattr(module, "BATCH_CELLS", 3_000)
    found = scdiff.tl.panel(adata, label="celltype", target="CD19+ B")
    known = {"CD79A", "CD79B", "MS4A1", "CD19", "TCL1A", "VPREB3", "BANK1", "FCER2", "BLK"}
    assert {marker.name for marker in found.program.markers} < known
    assert truth == pytest.approx(0.203, abs=0.001)
    confusion = found.confusion
    assert confusion["called"].iloc[0] > 0.8
    assert confusion["called"].iloc[1:].max() < 0.1
    assert (found.titration["prevalence"] - found.titration["true"]).abs().max() < 0.02


def test_a_recovery_above_all_of_the_truth_is_shown():
    from scdiff.panels.page import TITRATION_COLUMNS, _render_table

    rows = pd.DataFrame({name: [0.5, 0.5] for name in TITRATION_COLUMNS})
    rows["recovery"] = [4.67, np.nan]
    place = list(TITRATION_COLUMNS).index("recovery")
    shown = _render_table("", rows, TITRATION_COLUMNS)["rows"]
    assert "467%" in str(shown[0][place]).replace(" ", "")
