"""Conversion between wire messages and the types of this project, one module per .proto file.

The modules contain no business logic. Every invalid field of a request is reported at once.
"""
