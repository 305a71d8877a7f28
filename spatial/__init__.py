"""The vocabulary that all rooms share: relations, scenes, observations, records, templates."""
