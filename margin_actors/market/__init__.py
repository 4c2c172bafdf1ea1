"""Market data and books as the engine sees them: instruments, snapshots, prices, surfaces."""
