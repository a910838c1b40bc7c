"""What is measured of a network beside its accuracy: one file a family."""
