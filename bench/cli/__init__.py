"""The command line, one module a command or group, and what the commands render."""
