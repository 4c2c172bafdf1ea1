"""Anti-procyclicality tools: the buffer and its reference margins, and the stress period."""
