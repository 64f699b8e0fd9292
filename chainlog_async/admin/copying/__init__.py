"""The parts of `admin.copy`: rows, what is left of pruned rows, and the proof that both logs are equal."""
