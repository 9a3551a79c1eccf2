"""The statistical core: arrays in, numbers out, never AnnData.

``table``      cells with equal counts and depth become one weighted row
``mixture``    likelihood of the on/off patterns of the markers over a shared contamination
``fit``        penalised maximum likelihood, profile likelihood of the prevalence
``calls``      evidence per cell and marker, probabilities, hard calls at a stated false discovery rate
``limits``     limits of blank, detection and quantification; the verdict
``intervals``  binomial and donor-level intervals
"""
