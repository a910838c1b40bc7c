"""From a suite to records: plan the cells, train each in a process of its own, verify them later.

`plan` decides what is to be run; `workload` and `forecast` how large it is and how long it takes; engines/
start and watch processes; `worker` is what runs in one; `train` is the training itself. timing/ measures
latency of networks and layers, one at a time.
"""
