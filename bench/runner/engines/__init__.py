"""Processes that carry out a plan: which start when, what becomes of them, and what they answer."""
