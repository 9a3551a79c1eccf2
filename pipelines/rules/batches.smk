# From the sheet to one finished folder per batch.


rule samples:
    # The rows are a parameter, not an input file: a batch that is added to the sheet does not run the others again.
    output:
        f"{RESULTS}/sheets/{{batch}}.csv",
    params:
        text=lambda wildcards: batch_sheet(BATCHES[wildcards.batch], SHEET.parent),
    localrule: True
    run:
        Path(output[0]).write_text(params.text, encoding="utf-8")


rule batch:
    # Files, not the folder, are the output: the folder keeps what a killed run had finished.
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
    threads: config["threads"]
    resources:
        mem_mb=config["mem_mb"],
    shell:
        "NUMBA_NUM_THREADS={threads} {params.command} run --samples {input.sheet:q} --config {input.options:q}"
        " --out {params.out:q} --quiet > {log:q} 2>&1"
