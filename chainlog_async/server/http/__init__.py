"""Requests and responses: parameters, bodies, errors, and their description in OpenAPI."""
