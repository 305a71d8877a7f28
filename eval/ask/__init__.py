"""One question about one picture, answered as an evaluation answers it, and shown to a person.

``wording`` makes of what was typed what the model is asked, or says why it cannot be asked; ``asker`` opens a model and
answers; ``overlay`` draws where it looked; ``run`` is the command.
"""
