"""Fetch public data by name: find and download files, and get cells of the CELLxGENE Census."""
