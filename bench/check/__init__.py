"""The laws that every method must satisfy (`spikegrad check`), and the templates of `spikegrad new`.

`laws` lists the laws and the function that tests each of them; `case` is a method under test.
"""
