# From finished batches to two tables and a page.
import sys

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))
from gather import write_results


rule gather:
    input:
        expand(rules.batch.output.fractions, batch=BATCHES),
    output:
        fractions=f"{RESULTS}/fractions.csv",
        verdicts=f"{RESULTS}/verdicts.csv",
        page=f"{RESULTS}/batches.html",
    localrule: True
    run:
        write_results(Path(RESULTS), list(BATCHES))


onerror:
    # A batch failed: tables and page of all others are written all the same, and name the failed one with the reason.
    write_results(Path(RESULTS), list(BATCHES))
