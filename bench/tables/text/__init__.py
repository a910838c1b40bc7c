"""Tables as text: for terminals, Markdown and LaTeX, with captions that can be read on their own."""
