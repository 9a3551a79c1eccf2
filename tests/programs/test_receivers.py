"""Receiver profiles and axes: the packaged ones are sound, a faulty file is refused in one clear sentence."""

from __future__ import annotations

import csv
import re

import pytest

from scdiff.errors import ConfigError, UnknownNameError
from scdiff.genes import canonical
from scdiff.programs.axes import choose_axes, load_axes, symbol_in
from scdiff.programs.receivers import COLUMNS, load_receivers, receiver_names

DOI = re.compile(r"^10\.\d{4,9}/\S+$")
HEADER = "receiver,species,gene,n_cells,n_expressing"


@pytest.fixture
def profile(tmp_path):
    """Writer of a receiver file."""

    def write(*lines: str, header: str = HEADER):
        path = tmp_path / "mine.csv"
        path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return str(path)

    return write


def test_axes_state_genes_by_their_symbols_and_a_source():
    names = [axis.name for axis in load_axes()]
    assert len(set(names)) == len(names)
    for axis in load_axes():
        assert DOI.match(axis.source) or axis.source == "field convention"
        assert all(canonical(gene) == gene for _, gene in axis.genes())
        mouse = [symbol for _, gene in axis.genes() if (symbol := symbol_in(gene, "mouse"))]
        assert [canonical(symbol, "mouse") for symbol in mouse] == mouse


def test_axes_are_chosen_by_name_in_the_order_asked_for():
    assert [axis.name for axis in choose_axes(["HGF-MET", "CCL2-CCR2"])] == ["HGF-MET", "CCL2-CCR2"]
    assert choose_axes(()) == load_axes()
    with pytest.raises(UnknownNameError, match=r"unknown axis 'HGF-CMET'. Did you mean 'HGF-MET'"):
        choose_axes(["HGF-CMET"])


@pytest.mark.parametrize("name", receiver_names())
def test_packaged_profiles_hold_genes_of_the_axes_and_a_source(name):
    wanted = {gene for axis in load_axes() for _, gene in axis.genes()}
    for species in ("human", "mouse"):
        (receiver,) = load_receivers([name], species)
        assert set(receiver.genes) <= {symbol_in(gene, receiver.species) for gene in wanted}
        assert len(receiver.genes) > 20
        assert all(
            seen.counted and (DOI.match(seen.source) or seen.source.startswith("github.com/"))
            for seen in receiver.genes.values()
        )
        assert len({seen.n_cells for seen in receiver.genes.values()}) == 1


def test_small_profiles_are_used_only_where_they_are_named():
    assert {"islet_beta", "endothelium", "t_cell", "monocyte"} <= {
        receiver.name for receiver in load_receivers((), "human")
    }
    assert "fetal_endothelium" not in {receiver.name for receiver in load_receivers((), "human")}
    assert load_receivers(["fetal_endothelium"], "human")[0].n_cells == 11


def test_what_is_known_of_the_tissues_shows_above_their_background():
    beta, endothelium, macrophage = load_receivers(
        ["islet_beta", "endothelium", "macrophage"], "mouse"
    )
    for receiver, gene in (
        (endothelium, "KDR"),
        (endothelium, "TEK"),
        (macrophage, "IL10RB"),
        (macrophage, "HAVCR2"),
        (beta, "IL1R1"),
    ):
        seen = receiver.read(gene)[1]
        assert seen.n_expressing / seen.n_cells > 2 * seen.background
    for gene in ("KDR", "CXCR4", "IL10RB"):
        seen = beta.read(gene)[1]
        assert seen.n_expressing / seen.n_cells < seen.background


def test_packaged_table_has_the_columns_of_a_file():
    from importlib import resources

    with (resources.files("scdiff.programs") / "receivers.csv").open(encoding="utf-8") as handle:
        assert tuple(next(csv.reader(handle))) == COLUMNS


def test_a_file_of_ones_own_is_read_by_either_name_of_a_gene(profile):
    (receiver,) = load_receivers(
        [profile("stroma,mouse,Sdf1,100,40", "stroma,mouse,Tie2,100,0")], "human"
    )
    assert (receiver.name, receiver.species, receiver.n_cells) == ("stroma", "mouse", 100)
    assert receiver.read("CXCL12")[1].n_expressing == 40
    assert receiver.read("TEK") == ("Tek", receiver.genes["Tek"])
    assert receiver.read("HGF") == ("Hgf", None)
    assert receiver.read("HLA-G") == ("", None)
    assert receiver.genes["Tek"].background is None


def test_of_two_species_the_one_of_the_batch_is_taken(profile):
    path = profile("t,mouse,Cd44,10,5", "t,human,CD44,20,5")
    assert [load_receivers([path], species)[0].n_cells for species in ("human", "mouse")] == [
        20,
        10,
    ]


@pytest.mark.parametrize(
    ("lines", "header", "sentence"),
    [
        ((), HEADER, "the receiver file has no row"),
        ((), "", "column 'receiver' is missing"),
        (
            ("t,human,CD44,10,5",),
            "receiver,species,gene,n_cell,n_expressing",
            "unknown column 'n_cell'. Did you mean 'n_cells'",
        ),
        (("t,human,CD44,10",), "receiver,species,gene,n_cells", "column 'n_expressing' is missing"),
        (("t,human,CD44,10,11",), HEADER, "line 2: n_expressing is 11, more than the 10 cells"),
        (("t,human,CD44,10,5", "t,human,CD44,0,0"), HEADER, "line 3: n_cells is '0'"),
        (("t,pig,CD44,10,5",), HEADER, "line 2: species is 'pig'"),
        (("t,human,CD44,many,5",), HEADER, "line 2: n_cells is 'many'"),
        (("t,human,,10,5",), HEADER, "line 2: gene Field required"),
        (("t,human,CD44,10,5,1",), HEADER, "line 2: the line has more or fewer fields"),
        (("t,human,CD44,10",), HEADER, "line 2: the line has more or fewer fields"),
        (("t,human,SDF1,10,5", "t,human,CXCL12,10,5"), HEADER, "two rows for CXCL12"),
        (("t,human,CD44,10,5,2",), f"{HEADER},background", "line 2: background is '2'"),
    ],
)
def test_a_faulty_file_is_refused_in_one_sentence(profile, lines, header, sentence):
    with pytest.raises(ConfigError, match=re.escape(sentence)) as caught:
        load_receivers([profile(*lines, header=header)], "human")
    assert "mine.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_and_doubled_names_are_refused(profile, tmp_path):
    with pytest.raises(
        UnknownNameError,
        match=r"unknown receiver 'islet_bet'. Did you mean 'islet_beta'.*Or give the path of a .csv",
    ):
        load_receivers(["islet_bet"], "human")
    with pytest.raises(ConfigError, match="two receivers share a name: t_cell, t_cell"):
        load_receivers(["t_cell", profile("t_cell,human,CD44,10,5")], "human")
    with pytest.raises(ConfigError, match="the receiver file cannot be read"):
        load_receivers([str(tmp_path / "none.csv")], "human")
