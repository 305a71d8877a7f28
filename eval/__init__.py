"""Checkpoints to predictions to scores and comparisons."""
