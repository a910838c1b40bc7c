"""What a new method must keep to: the laws of `spikegrad check`, and the file that `spikegrad new` writes.

`laws` lists the laws and the function that tests each of them; `case` is a method under test.
"""
