"""Terminal and pictures: one run for the eye, the shapes of all methods, and what commands share to print."""
