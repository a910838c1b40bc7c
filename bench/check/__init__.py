"""What a new method must keep to: the laws of `spikegrad check`, and the file that `spikegrad new` writes.

`laws` lists the laws, and says which function holds a method to each; `case` is a method under test.
"""
