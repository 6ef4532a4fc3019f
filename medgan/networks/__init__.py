"""Networks: functions of tensors (N, C, I, J) or (N, C, I, J, K) with weights.

Knows convolutions, their initialization and their fast forms. Must not know losses, optimizers, files, or what a voxel
measures. Importing this package loads nothing; its modules import torch.
"""
