import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from scdiff.report.plots import evidence, fractions, maps, path, qc
from scdiff.report.plots.style import (
    ACCENT,
    CALLED,
    GREY,
    NEGATIVE,
    PALETTE,
    PAPER,
    STATES,
    colours,
    log_counts,
    natural,
)


@pytest.fixture
def ax():
    return Figure().add_subplot()


@given(st.lists(st.text(min_size=1, max_size=5), unique=True, max_size=40))
def test_every_level_has_a_colour_and_unassigned_is_grey(levels):
    found = colours([*levels, *(["unassigned"] if "unassigned" not in levels else [])])
    assert all(len(colour) == 7 for colour in found.values())
    assert found["unassigned"] == GREY
    assert not [
        level for level, colour in found.items() if colour == GREY and level != "unassigned"
    ]


def test_twenty_clusters_have_twenty_colours():
    assert len(set(colours([str(number) for number in range(20)]).values())) == 20
    assert tuple(colours([str(number) for number in range(7)]).values()) == PALETTE


def test_states_keep_their_colour_whatever_else_is_there():
    assert (
        colours(["x", "progenitor"])["progenitor"]
        == colours(["progenitor"])["progenitor"]
        == STATES["progenitor"]
    )


def test_cluster_ten_comes_after_nine():
    assert sorted(["10", "9", "b", "1"], key=natural) == ["1", "9", "10", "b"]


@pytest.mark.parametrize(("low", "high"), [(900, 1500), (900, 9000), (500, 60_000), (1, 1e6)])
def test_logarithmic_axes_have_a_few_plain_numbers(ax, low, high):
    ax.scatter([low, high], [0, 1])
    log_counts(ax)
    ax.figure.canvas.draw()
    left, right = ax.get_xlim()
    shown = [
        label.get_text()
        for label, at in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)
        if left <= at <= right
    ]
    assert 2 <= len(shown) <= 8
    assert not any("$" in text for text in shown)


@pytest.fixture
def dropped():
    columns = ["n_before", "empty", "low_counts", "low_genes", "high_mito", "doublet", "n_after"]
    return pd.DataFrame(
        [[100, 10, 5, 0, 5, 10, 70], [50, 0, 0, 0, 0, 0, 50]], index=["a", "b"], columns=columns
    )


def test_dropped_bars_add_up_to_the_barcodes(ax, dropped):
    assert qc.dropped_bars(dropped, ax) is ax
    ends = {bar.get_y(): 0.0 for container in ax.containers for bar in container}
    for container in ax.containers:
        for bar in container:
            ends[bar.get_y()] = max(ends[bar.get_y()], bar.get_x() + bar.get_width())
    assert sorted(ends.values()) == [50, 100]
    assert ax.get_xlabel() == "cells (barcodes)"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["a", "b"]


def test_dropped_bars_leave_unused_reasons_out(ax, dropped):
    qc.dropped_bars(dropped, ax)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "kept",
        "empty",
        "few counts",
        "high mito.",
        "doublet",
    ]


@pytest.mark.parametrize("log", [True, False])
def test_histogram_holds_every_cell_once(ax, log):
    values = np.random.default_rng(0).lognormal(8, 1, 300)
    samples = np.array(["a", "b", "c"])[np.arange(300) % 3]
    qc.metric_histogram(
        values,
        samples,
        ax,
        label="counts per cell",
        thresholds={"a": 500.0, "b": float("nan")},
        log=log,
    )
    drawn = [patch.get_data()[0].sum() for patch in ax.patches]
    assert drawn == [100, 100, 100]
    assert [line.get_xdata()[0] for line in ax.lines] == [500.0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("counts per cell", "cells")


@pytest.mark.parametrize("values", [np.array([]), np.array([np.nan, np.nan]), np.array([5.0, 5.0])])
def test_histogram_of_next_to_nothing(ax, values):
    qc.metric_histogram(
        values,
        np.array(["a"] * len(values), dtype=object),
        ax,
        label="genes per cell",
        thresholds={},
        log=True,
    )
    assert sum(patch.get_data()[0].sum() for patch in ax.patches) == np.isfinite(values).sum()


def test_category_map_draws_every_cell_and_rare_levels_on_top(ax):
    xy = np.random.default_rng(0).random((30, 2))
    maps.category_map(xy, pd.Series(["negative"] * 25 + ["unassigned"] * 4 + ["progenitor"]), ax)
    drawn = {collection.get_label(): collection for collection in ax.collections}
    assert {label: len(collection.get_offsets()) for label, collection in drawn.items()} == {
        "negative": 25,
        "unassigned": 4,
        "progenitor": 1,
    }
    assert (
        drawn["progenitor"].get_zorder()
        > drawn["unassigned"].get_zorder()
        > drawn["negative"].get_zorder()
    )
    assert to_hex(drawn["unassigned"].get_facecolor()[0]) == GREY
    assert ax.get_xlabel() == "UMAP 1 (no unit)"


def test_pseudotime_map_draws_unreached_cells_grey_and_marks_the_root(ax):
    xy = np.random.default_rng(0).random((10, 2))
    pseudotime = np.array([np.nan] * 3 + list(np.linspace(0, 1, 7)))
    maps.pseudotime_map(xy, pseudotime, 4, ax)
    unreached, reached, ring = ax.collections
    assert len(unreached.get_offsets()) == 3
    assert to_hex(unreached.get_facecolor()[0]) == GREY
    np.testing.assert_array_equal(reached.get_array(), pseudotime[3:])
    np.testing.assert_array_equal(ring.get_offsets()[0], xy[4])
    assert [text.get_text() for text in ax.texts] == ["root"]


def test_pseudotime_map_without_a_known_root_has_no_ring(ax):
    maps.pseudotime_map(np.random.default_rng(0).random((5, 2)), np.linspace(0, 1, 5), None, ax)
    assert not ax.texts
    assert len(ax.collections) == 2


def test_paga_draws_nodes_edges_and_the_root(ax):
    positions = pd.DataFrame(
        {"x": [0, 1, 2], "y": [0, 1, 0], "n_cells": [10, 20, 30], "positive": [0.0, 0.1, 0.5]},
        index=["0", "1", "2"],
    )
    links = pd.DataFrame(
        [[0, 0.5, 0.0], [0.5, 0, 0.3], [0.0, 0.3, 0]], positions.index, positions.index
    )
    maps.paga_graph(positions, links, "1", ax)
    assert len(ax.lines) == 2
    assert ax.lines[0].get_linewidth() > ax.lines[1].get_linewidth()
    nodes = ax.collections[0]
    np.testing.assert_allclose(nodes.get_array(), [0, 10, 50])
    assert [to_hex(colour) == CALLED for colour in nodes.get_edgecolors()] == [False, True, False]
    assert [text.get_text() for text in ax.texts] == ["0", "1", "2"]


def test_state_bars_end_at_one_hundred(ax):
    maps.state_bars(
        pd.DataFrame({"negative": [90.0, 50.0], "progenitor": [10.0, 50.0]}, index=["0", "1"]), ax
    )
    assert [bar.get_x() + bar.get_width() for bar in ax.containers[-1]] == [100.0, 100.0]
    assert ax.get_xlabel() == "cells of the cluster (%)"


@pytest.fixture
def ratios():
    return pd.DataFrame(
        {"PDX1": [5.0, -0.5, 3.0, -0.2], "INS": [9.0, 2.0, -0.1, -0.3], "NEUROG3": [np.nan] * 4}
    )


def test_strips_split_called_cells_from_the_others(ax, ratios):
    evidence.evidence_strips(ratios, np.array([True, False, False, False]), ax)
    others, called = ax.collections[:2]
    assert (len(others.get_offsets()), len(called.get_offsets())) == (3, 1)
    assert called.get_offsets()[0, 0] == 5.0
    assert [to_hex(collection.get_facecolor()[0]) for collection in (others, called)] == [
        NEGATIVE,
        CALLED,
    ]
    assert [text.get_text() for text in ax.texts] == ["not measured"]
    assert "ln likelihood ratio" in ax.get_xlabel()


def test_counts_against_depth_draws_the_background(ax):
    depth, counts = np.array([1000.0, 10_000.0]), np.array([0.0, 7.0])
    evidence.counts_against_depth(
        depth, counts, np.array([False, True]), ax, marker="INS", background_cp10k=2.0
    )
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1000, 0.2], [10_000, 2.0]])
    assert abs(ax.collections[1].get_offsets()[0, 1] - 7) < 0.5
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("counts per cell", "INS counts per cell")


def test_counts_against_depth_without_a_background(ax):
    evidence.counts_against_depth(
        np.array([100.0]),
        np.array([0.0]),
        np.array([False]),
        ax,
        marker="INS",
        background_cp10k=float("nan"),
    )
    assert not ax.lines


def test_heat_map_cuts_at_ten_and_keeps_absent_markers_blank(ax, ratios):
    evidence.positives_heatmap(ratios * 10, ax)
    shown = ax.images[0].get_array()
    assert shown.shape == (3, 4)
    assert np.nanmax(shown) == 10
    assert np.ma.getmaskarray(shown)[2].all()


def rows(**changed):
    base = {
        "sample": "all",
        "n_cells": 400,
        "fraction": 0.04,
        "fraction_low": 0.02,
        "fraction_high": 0.06,
        "verdict": "quantified",
    }
    base |= {
        "prevalence": 0.05,
        "prevalence_low": 0.03,
        "prevalence_high": 0.08,
        "lob": 0.001,
        "lod": 0.004,
        "lloq": 0.02,
    }
    return pd.DataFrame([base | changed])


def test_forest_draws_what_the_table_says_in_percent(ax):
    fractions.forest(rows(), ax)
    spans = [tuple(line.get_xdata()) for line in ax.lines]
    np.testing.assert_allclose(spans[0], (3, 8))
    np.testing.assert_allclose(spans[2], (2, 6))
    np.testing.assert_allclose([spans[1][0], spans[3][0]], [5, 4])
    limits = [collection.get_segments()[0][0, 0] for collection in ax.collections]
    np.testing.assert_allclose(limits, [0.1, 0.4, 2.0])
    assert ax.get_xlabel() == "cells (%)"
    assert [text.get_text() for text in ax.get_yticklabels()] == ["all\n400 cells"]


def test_forest_draws_no_number_where_not_measurable(ax):
    fractions.forest(rows(verdict="not measurable", prevalence=float("nan")), ax)
    assert not ax.lines
    assert [text.get_text() for text in ax.texts] == ["not measurable"]


def test_zero_and_one_hundred_percent_are_on_the_axis(ax):
    fractions.forest(
        pd.concat(
            [rows(prevalence=0.0, prevalence_low=0.0), rows(prevalence=1.0, prevalence_high=1.0)]
        ),
        ax,
    )
    low, high = ax.get_xlim()
    assert low < 0
    assert high > 100


def test_dots_say_not_measurable(ax):
    data = pd.DataFrame(
        {
            "label": ["vegf", "il10"],
            "value": [0.4, np.nan],
            "low": [0.3, np.nan],
            "high": [0.5, np.nan],
            "colour": [ACCENT, ACCENT],
        }
    )
    fractions.dots(data, ax)
    np.testing.assert_allclose(ax.lines[0].get_xdata(), (30, 50))
    assert len(ax.lines) == 2
    assert [(text.get_text(), text.get_position()[1]) for text in ax.texts] == [
        ("not measurable", 1)
    ]


def test_axes_are_hollow_where_background_may_explain_them(ax):
    side = {"value": 0.2, "low": 0.1, "high": 0.3, "above": True, "absent": ""}
    hollow, absent = side | {"above": False}, side | {"value": np.nan, "absent": "no row"}
    table = pd.DataFrame(
        [
            {"axis": "HGF-MET", "label": "HGF to MET"} | _sides(side, hollow),
            {"axis": "LIF-LIFR", "label": "LIF to LIFR"} | _sides(hollow, absent),
        ]
    )
    fractions.axis_pairs(table, ax)
    points = [line for line in ax.lines if line.get_marker() == "o"]
    fills = [to_hex(line.get_markerfacecolor()) for line in points]
    assert fills == [ACCENT, PAPER, PAPER]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["HGF to MET", "LIF to LIFR"]
    assert [text.get_text() for text in ax.texts] == ["no row"]


def test_receptors_are_dots_by_receiver(ax):
    side = {"value": 0.2, "low": 0.1, "high": 0.3, "above": True, "absent": ""}
    hollow, absent = (
        side | {"value": 0.8, "above": False},
        side | {"value": np.nan, "absent": "no row"},
    )
    labels = [
        {"axis": "HGF-MET", "label": "HGF to MET"},
        {"axis": "LIF-LIFR", "label": "LIF to LIFR"},
    ]
    tables = {
        name: pd.DataFrame(
            [
                label | _sides(side, receptor)
                for label, receptor in zip(labels, receptors, strict=True)
            ]
        )
        for name, receptors in {"t_cell": (side, hollow), "monocyte": (absent, side)}.items()
    }
    fractions.receptor_dots(tables, ax)
    drawn = [
        (tuple(place), round(size), to_hex(fill))
        for dots in ax.collections
        for place, size, fill in _each_dot(dots)
    ]
    assert drawn == [((0, 0), 23, CALLED), ((0, 1), 77, PAPER), ((1, 1), 23, CALLED)]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["t cell", "monocyte"]
    assert [text.get_text() for text in ax.get_yticklabels()] == ["HGF to MET", "LIF to LIFR"]
    assert [(text.get_text(), text.xy) for text in ax.texts] == [("no row", (1, 0))]


def _each_dot(dots):
    places = dots.get_offsets()
    return zip(
        places.tolist(),
        dots.get_sizes(),
        np.repeat(dots.get_facecolor(), len(places), axis=0)[: len(places)],
        strict=True,
    )


def _sides(ligand, receptor):
    return {f"ligand_{key}": value for key, value in ligand.items()} | {
        f"receptor_{key}": value for key, value in receptor.items()
    }


def test_long_sample_names_leave_room_for_the_bars():
    import warnings

    from scdiff.report.plots.qc import REASONS, dropped_bars
    from scdiff.report.section import picture

    table = pd.DataFrame(
        1, index=["GSM0000002_BMSC_dense_genes_x_cells_of_a_long_name"], columns=list(REASONS)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = picture("dropped", lambda ax: dropped_bars(table, ax), caption="", alt="", table="")
    assert drawn.suffix == "svg"


@pytest.fixture
def way():
    return pd.DataFrame({"position": [-0.1, 0.0, 0.1, 0.9, 1.0], "cells": [5, 900, 40, 3, 12], "start": [5, 300, 0, 0, 0],
                         "end": [0, 0, 0, 1, 9], "doublets": [0.1, 8.0, 0.5, 0.2, 0.1]})  # fmt: skip


def test_the_way_shows_every_bin_and_its_edges(ax, way):
    assert path.path_histogram(way, {"low": 0.2, "high": 0.8}, ax) is ax
    heights = [bar.get_height() for bar in ax.containers[0]]
    assert heights == way["cells"].tolist()
    assert sorted(line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1) == [
        0.2,
        0.8,
    ]
    assert ax.get_ylim()[1] > 900
    left, right = ax.get_xlim()
    assert left < -0.1
    assert right > 1.05


@pytest.mark.parametrize(
    ("verdict", "density", "title"),
    [
        ("continuum", (2.0, 1.5, 3.0), "Filled\n1.5-3 cells between"),
        ("separate population", (0.0, 0.0, 0.2), "A gap\nat most 0.2 cells between"),
        ("undecided", (0.1, 0.0, 2.0), "Cannot tell\nat most 2 cells between"),
    ],
)
def test_the_title_of_the_way_says_what_is_between(ax, way, verdict, density, title):
    names = ("density", "density_low", "density_high")
    gap = {"low": 0.2, "high": 0.8} | dict(zip(names, density, strict=True))
    path.path_histogram(way, gap, ax, verdict=verdict)
    assert ax.get_title(loc="left").startswith(title)
    assert {text.get_text() for text in ax.texts} == {"start", "between", "end"}


@pytest.mark.parametrize("gap", [{}, {"low": 0.9, "high": 0.2}])
def test_a_way_that_was_not_judged_has_no_edges(ax, way, gap):
    path.path_histogram(way, gap, ax)
    assert not [line for line in ax.lines if len(set(line.get_xdata())) == 1]


def test_gene_courses_draw_each_gene_once(ax):
    table = pd.DataFrame(
        {
            "gene": ["PDX1"] * 2 + ["INS"] * 2,
            "place": [0, 1] * 2,
            "cp10k": [0, 2.0, 1, 800],
            "low": 0.0,
            "high": [1, 3.0, 2, 900],
        }
    )
    path.gene_courses(table, ax)
    assert [line.get_label() for line in ax.lines] == ["PDX1", "INS"]
    assert ax.get_ylim()[1] > 900


def test_day_flow_stacks_states_and_leaves_the_negative_out(ax):
    days = pd.DataFrame({"state:negative": [0.9, 0.7], "state:progenitor": [0.06, 0.2], "state:unassigned": [0.04, 0.1],
                         "committed": [0.05, 0.3], "low": [0, 0.2], "high": [0.1, 0.4]}, index=["0", "7"])  # fmt: skip
    path.day_flow(days, ax)
    bars = [container for container in ax.containers if hasattr(container, "patches")]
    tops = [sum(container.patches[day].get_height() for container in bars) for day in (0, 1)]
    assert tops == pytest.approx([10, 30])
    assert ax.get_ylim()[1] == pytest.approx(44)
    path.day_flow(days.assign(committed=np.nan, low=np.nan, high=np.nan), Figure().add_subplot())
