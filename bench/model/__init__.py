"""Networks of spiking neurons: neuron, layers, backbones, precision, and how they are compiled.

`neuron` holds the dynamics and calls a method's spike function; `layers` and `residual` build blocks of it;
`backbone` declares a network, and backbones/ holds those that are shipped, one a file. `compiling` decides
and does what `compile` in a profile asks for, after `compile_check` has seen that it computes the same.
"""
