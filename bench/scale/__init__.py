"""How training scales: processes and machines, measured here and predicted elsewhere.

A training step on R processes is computing, small gathers in which batch norm and the loss become
those of the whole batch, and gradients that are added up. `counts` records what a step exchanges,
`machine` measures what computing and exchanging cost here, `model` puts the two together, for
this machine and for the `networks` of others.
"""
