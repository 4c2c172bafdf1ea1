"""Prescribed rows: SPAN, the venue grid, stress days and hypothetical moves."""
