"""Image engines behind one interface: from a scene's geometry, or a photo, to a painted picture."""
