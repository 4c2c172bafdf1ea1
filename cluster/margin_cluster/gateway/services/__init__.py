"""Thin handlers, one module per service: convert the request, run a use case, convert the result.

Exceptions are converted to statuses by the interceptor.
"""
