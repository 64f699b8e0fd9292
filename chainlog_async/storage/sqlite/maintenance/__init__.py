"""What the writer does between batches: retention, rollups, checkpoints, checks."""
