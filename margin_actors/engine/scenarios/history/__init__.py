"""The price and surface history: windows, surfaces of past snapshots, conditional variances."""
