"""Exchanging records with other machines: `spikegrad import` and `spikegrad export`."""
