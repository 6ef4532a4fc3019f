"""Training: one visible loop and its parts, whatever the method.

Knows steps, losses, checkpoints and the precision of a machine. Must not know which networks a method has, which files
a batch came from, or what a voxel measures. Importing this package loads nothing; its modules import torch.
"""
