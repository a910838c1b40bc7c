"""Networks of spiking neurons: neuron, layers, backbones, precision, and how they are compiled.

`neuron` holds the dynamics and calls a method's spike function. `layers` and `residual` build blocks from it.
`backbone` declares a network; backbones/ holds the shipped ones, one per file. `compiling` resolves and
applies a profile's `compile` setting, after `compile_check` has verified that the results are the same.
"""
