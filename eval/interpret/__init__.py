"""Causal mediation: which parts of a model carry what it says of a picture."""
