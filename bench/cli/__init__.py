"""The command line: one module per command or group, and the code that formats their output."""
