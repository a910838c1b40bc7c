"""What is measured of a network beside its accuracy, one file a family.

Gradients by layer, the surrogate derivative in use, descent, spikes and operations. `looks` decides when a
training run is probed. `probe` measures the derivative that a method delivers, outside training.
"""
