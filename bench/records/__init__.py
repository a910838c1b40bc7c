"""What a run leaves behind: records on disk, the checks they must pass, and the protocol they were made by.

`store` writes and lists records, `record_files` reads and validates one, `evidence` compares its numbers with
the files beside it. `protocol` and `code_identity` identify the code behind each number. Nothing here needs
torch. `exchange` imports records from other machines, and exports your own.
"""
