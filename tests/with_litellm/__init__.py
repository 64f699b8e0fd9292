"""The real LiteLLM: `make test-litellm`, in an environment of its own."""
