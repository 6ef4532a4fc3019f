"""From a case as acquired to a case as a network wants it: pure stages, chained by a recipe.

Knows cases, volumes and intensities. Must not know networks, patches or files.
"""
