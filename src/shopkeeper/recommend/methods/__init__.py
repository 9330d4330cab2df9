"""The methods that rank items for a customer: arrays in, arrays out; no shop, no warehouse, no engine.

`base` is the seam; `popular` and `buy_again` are the plainest, and the rivals of every other; `neighbours` follows what
people take one after another, `factors` what all of them have in common; `newcomers` ranks items that nobody has had
to do with. `contract.check_method` says whether a method from anywhere keeps the promises.
"""
