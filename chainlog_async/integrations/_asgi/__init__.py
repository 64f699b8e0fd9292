"""The implementation of the middleware `integrations.asgi`."""
