"""The service around the engine: sources, results, reports, command line."""
