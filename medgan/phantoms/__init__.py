"""Images whose truth is known: heads and limbs in MR and CT, prostates, neurites, chest radiographs.

Knows anatomy only as far as a test or a demonstration needs it, and volumes, labels and grids. Every phantom is a pure
function of a NumPy generator. Must not know cohorts, recipes or tensors.
"""
