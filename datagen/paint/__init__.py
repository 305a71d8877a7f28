"""Paint the scenes of groups, or repaint photos, verify the pictures, and keep the groups of which all are right."""
