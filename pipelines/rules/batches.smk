# From the sheet to one finished folder per batch.
import shlex



rule samples:
    # The rows are a parameter, not an input file: a batch that is added to the sheet does not run the others again.
    output:
        f"{RESULTS}/sheets/{{batch}}.csv",
    params:
        text=lambda wildcards: batch_sheet(BATCHES[wildcards.batch], SHEET.parent),
    localrule: True
    shell:
        "printf %s {params.text:q} > {output:q}"


rule batch:
    # All steps of a batch, which scdiff itself resumes. Files, not the folder, are the output: Snakemake removes the output of a
    # job that was killed, and must leave the folder .scdiff with the finished steps.
    input:
        sheet=rules.samples.output[0],
        options=config["options"],
        data=lambda wildcards: present_files(BATCHES[wildcards.batch], SHEET.parent),
    output:
        report=f"{RESULTS}/batches/{{batch}}/report.html",
        result=f"{RESULTS}/batches/{{batch}}/result.h5ad",
        fractions=f"{RESULTS}/batches/{{batch}}/tables/fractions.csv",
    log:
        f"{RESULTS}/logs/{{batch}}.log",
    params:
        command=config["command"],
        out=f"{RESULTS}/batches/{{batch}}",
        history=f"--history {shlex.quote(config['history'])}" if config["history"] else "",
    threads: config["threads"]
    resources:
        mem_mb=needed("mem_mb"),
        runtime=needed("runtime"),
    shell:
        "NUMBA_NUM_THREADS={threads} {params.command} run --samples {input.sheet:q} --config {input.options:q}"
        " --out {params.out:q} {params.history} > {log:q} 2>&1"
