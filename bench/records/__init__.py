"""What a run leaves behind: records on disk, the checks they must pass, and the protocol they were made by.

`store` writes and lists records, `record_files` reads and checks one, `evidence` compares its numbers with
the files beside it. `protocol` and `code_identity` say which code made a number. Nothing here needs torch.
`exchange` takes records in from other machines, and packs one's own.
"""
