"""Between volumes and tensors: where patches lie, how they are drawn for training and put together again.

Knows voxels and tensors. Must not know files, devices or what a network does.
"""
