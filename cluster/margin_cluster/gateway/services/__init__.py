"""Thin handlers, one module a service: convert, call the desk, convert back."""
