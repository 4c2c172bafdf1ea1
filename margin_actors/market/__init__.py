"""Market data and books for the engine: instruments, snapshots, prices and surfaces."""
