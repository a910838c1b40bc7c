"""Records in, tables out: rows, statistics, one module a table, and comparisons of tables.

`rows` groups records into rows, `leaderboards` holds a suite's results and makes every table. `all_pairs`
makes every verdict; `statistics` has the tests that need at most two samples. text/ turns tables into
Markdown, LaTeX and terminal text.
"""
