"""Methods: one published way to train, one file.

Each gives frozen settings, a state, ``build`` and ``step(state, batch, settings, generator) -> losses``. Knows networks
and losses. Must not know files, manifests, or what a voxel measures. Importing this package loads nothing; its modules
import torch.
"""
