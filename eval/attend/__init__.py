"""Where a model looks when it answers, and what decoders that change its attention change.

``record`` keeps the attention of the last prompt token while questions are answered, ``overlap`` compares it with the
boxes of the objects that are asked about, ``table`` holds what was measured of each question and decoder, ``figures``
counts, ``show`` draws, ``maps`` draws single pictures, and ``run`` does it all.

Attention is not explanation: that a token is attended to does not say that it decided the answer.
"""
