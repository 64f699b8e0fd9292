"""What several tests share: builders, oracles, helpers. Nothing here is a test."""
