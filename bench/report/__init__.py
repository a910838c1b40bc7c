"""One HTML page that shows a suite: it works offline, without a server and without torch."""
