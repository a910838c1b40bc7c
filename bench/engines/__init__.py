"""Engines: they carry out a plan."""
