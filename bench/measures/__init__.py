"""Measurements of a network other than its accuracy, one module per family.

Gradients by layer, the surrogate derivative in use, descent, spikes and operations. `probing` decides when
a training run is probed. `single_layer` measures the derivative that autograd returns for a method.
"""
