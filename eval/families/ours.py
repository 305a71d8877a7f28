"""Our own models: the checkpoint has its chat template, and its image processor knows how pictures become square."""

from encoders.load import load_model
from eval.families.family import Family

FAMILY = Family(load=load_model, own_canvas=True)
