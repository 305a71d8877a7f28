"""Audit data for shortcuts and broken balances, and our predicates against VSR's labels.

Start with ``probes`` (the shortcuts that are tried), then ``folds`` (how they are scored) and ``run``.
"""
