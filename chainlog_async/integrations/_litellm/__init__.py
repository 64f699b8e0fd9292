"""The implementation of the callback `integrations.litellm`."""
