"""Wire messages to ours and back: one module a .proto, no logic, every bad field at once."""
