"""Turns records into tables: rows, statistics, tables, and comparisons of tables.

`rows` groups records into rows, `results` holds a suite's results and makes every table. `all_pairs`
makes every verdict; `statistics` has the tests for one or two samples. text/ turns tables into
Markdown, LaTeX and terminal text.
"""
