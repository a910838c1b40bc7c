"""Records in, tables out: rows, statistics, one module a table, and comparisons of tables.

`rows` makes records into rows, `leaderboards` rows into accuracy.csv and all other tables. `all_pairs` holds
every verdict; `statistics` the tests that need no more than two samples. text/ turns tables into Markdown,
LaTeX and terminal text.
"""
