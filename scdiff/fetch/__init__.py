"""Public data by name: where it is, how it is downloaded, and cells of the CELLxGENE Census."""
