"""``vsre gallery``: look through a dataset, as one HTML page and as contact sheets."""
