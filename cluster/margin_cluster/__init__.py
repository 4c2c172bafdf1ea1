"""The service around the engine: data sources, results, reports, gateway and command line."""
