"""Engines of the core rows: historical, filtered historical and Monte Carlo simulation."""
