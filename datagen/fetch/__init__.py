"""Download public data sets: only the files that are needed, each checked, continued after any interruption."""
