"""The statistical core: arrays in, numbers out, never AnnData.

Read the modules in this order:

``priors``      every prior and tuning constant, with its source
``table``       cells with equal counts and depth become one weighted row
``mixture``     likelihood of the patterns of expressed markers over a shared contamination
``densities``   densities of a count, and random draws of counts
``fit``         penalised maximum likelihood, profile likelihood of the prevalence
``calls``       evidence per cell and marker, probabilities, calls at a false discovery rate
``limits``      limits of blank, detection and quantification; the verdict
``criticism``   reasons not to believe a fit
``intervals``   binomial and donor-level intervals
"""
