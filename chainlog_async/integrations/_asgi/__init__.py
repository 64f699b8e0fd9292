"""The inside of the middleware `integrations.asgi`."""
