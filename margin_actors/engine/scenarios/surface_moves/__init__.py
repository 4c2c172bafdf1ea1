"""Moves of volatility surfaces and forward curves over windows, observed or proxied."""
