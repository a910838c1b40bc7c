"""Displays one run, on the terminal or as a figure; output helpers that all commands share."""
