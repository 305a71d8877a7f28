"""Public benchmarks as records: a file for each format; what all share is in ``rows``, ``pictures`` and ``released``.

A reader turns the rows of a released file into ``rows.Row``: a question, its options, the right one, and a picture that
has not been looked at. ``rows.gather`` makes records of them, and failed rows of those that have no usable picture.
"""
