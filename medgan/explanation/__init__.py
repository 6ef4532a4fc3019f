"""Why a classifier said so: attribution, counterfactual pairs, their curves, verdicts and cohort statistics.

Knows both towers: tensors go in, NumPy records come out (:mod:`medgan.explanation.explanation`, which reports may
import). Must not know configuration files, manifests, file formats' readers or the command line.
"""
