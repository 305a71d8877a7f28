"""The judge of painted pictures: what was asked for is there, once, where it should be, and related as it should be."""
