"""From a suite to records: plan the cells, train each in a process of its own, verify them later.

`plan` decides which cells to run; `workload` and `forecast` estimate their size and time; engines/ starts and
watches processes; `worker` runs in each process; `train` is the training protocol. timing/ measures the
latency of networks and layers, one at a time.
"""
