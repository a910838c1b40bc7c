"""Tables as text: for terminals, Markdown and LaTeX, with self-contained captions."""
