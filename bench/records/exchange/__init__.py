"""Records from and for other machines: `spikegrad import` and `spikegrad export`."""
