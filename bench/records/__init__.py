"""What a run produces: records on disk, their checks, and the protocol version that they were made with.

`store` writes and lists records, `record_files` reads and validates one, `evidence` compares its numbers with
the files beside it. `protocol` and `code_identity` identify the code behind each number. Nothing here needs
torch. `exchange` imports records from other machines, and exports your own.
"""
