# From finished batches to two tables.
import sys

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from gather import write_tables


rule gather:
    input:
        expand(rules.batch.output.fractions, batch=BATCHES),
    output:
        fractions=f"{RESULTS}/fractions.csv",
        verdicts=f"{RESULTS}/verdicts.csv",
    localrule: True
    run:
        write_tables(Path(RESULTS), list(BATCHES))


onerror:
    # A batch failed: the tables of all others are written all the same, and the failed one is named in verdicts.csv.
    write_tables(Path(RESULTS), list(BATCHES))
