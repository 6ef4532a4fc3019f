"""Which images belong to a study: manifests, splits by subject, cases and the store of prepared cases.

Knows volumes and files. Must not know recipes, networks or measures.
"""

from medgan.cohort.case import Case
from medgan.cohort.manifest import CaseEntry, Manifest

__all__ = ["Case", "CaseEntry", "Manifest"]
