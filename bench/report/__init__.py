"""One HTML page that shows a suite: it needs no network, no server and no torch."""
