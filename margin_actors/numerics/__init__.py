"""Deterministic arithmetic: elementary functions, Black's formula and the compiler settings."""
