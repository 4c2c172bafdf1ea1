"""Deterministic arithmetic: elementary functions, Black's formula, the compiler's settings."""
