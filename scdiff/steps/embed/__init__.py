"""The embedding: variable genes, components, neighbours, clusters and map.

Read ``step.py`` first.
"""
