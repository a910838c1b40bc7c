"""Latency: of networks (`network`, `times`, `serial`), and of single layers (`layer_session` and others)."""
