"""Real instrumentations of real SDKs: `make test-otel`, in an environment of their own."""
