"""Other people's formats: dataset folders written for their readers, and read back without loss.

What a format has a place for lies in its own fields. All else that we know lies beside it under the key ``vsre``, so
that a reader of the format may ignore it and an import gives the same records, images and identifiers.
"""
