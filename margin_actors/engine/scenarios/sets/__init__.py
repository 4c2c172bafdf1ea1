"""The scenario set and its conversion to Arrow tables."""
