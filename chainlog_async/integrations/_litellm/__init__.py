"""The inside of the callback `integrations.litellm`."""
