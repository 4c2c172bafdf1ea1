"""The margin engine: market data, numerical methods and the Ray actors that distribute the work."""
