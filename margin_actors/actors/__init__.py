"""Orchestration of the engine over processes and nodes; holds no formula."""
