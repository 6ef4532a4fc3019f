"""Trained models and how they are used: bundles, translators and what they say about their own input.

Knows both towers. Must not know configuration files, manifests or the command line.
"""
