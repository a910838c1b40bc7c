"""Start and supervise the processes that carry out a plan or call third-party code."""
