"""From a suite to records: plan the cells, train them in worker processes, verify them later.

`plan` decides which cells to run; `workload` and `forecast` estimate their size and time; engines/ starts and
watches processes; `worker` runs in each process and trains the seeds of one configuration; `train` is the
training protocol; `vetting` calls third-party code in a process of its own. timing/ measures the
latency of networks and layers, one at a time.
"""
