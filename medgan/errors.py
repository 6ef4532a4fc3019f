"""Errors a user can act on: one class a layer, each message says required, found, where and what to do.

Every class is a :class:`MedganError` and a :class:`ValueError`, so that library users catch one or the other. The
command line maps them to exit codes: 2 for refused input or usage, 1 for a training that diverged. A message never
holds a person's name, an identifier from a header, or an absolute path.
"""


class MedganError(ValueError):
    """Root of all errors that medgan raises on purpose."""

    exit_code = 2


class GeometryError(MedganError):
    """A grid, box or orientation that cannot be, or two images that are not on one grid."""


class VolumeError(MedganError):
    """An array that is not the image its grid and quantity claim."""


class FormatError(MedganError):
    """A file that is not what it says, or that cannot be read without guessing."""


class OutputError(MedganError):
    """An output that exists already or cannot be written."""


class CohortError(MedganError):
    """A manifest, split or case that is inconsistent."""


class PreprocessingError(MedganError):
    """A recipe that does not fit its case."""


class EvaluationError(MedganError):
    """A measure that is not defined for its input."""


class SettingsError(MedganError):
    """A configuration file or option with unknown, missing or contradictory settings."""


class NetworkError(MedganError):
    """A network asked for a shape or option that it does not have."""


class TrainingError(MedganError):
    """A training that cannot start or continue."""


class DivergenceError(TrainingError):
    """A training whose loss is no longer finite, or whose guard gave up."""

    exit_code = 1


class PatchError(MedganError):
    """A patch layout or sampler that cannot serve its volume."""


class BundleError(MedganError):
    """A model bundle that is damaged, unknown or of another format."""


class InferenceError(MedganError):
    """A model and an image that do not belong together."""


class ExplanationError(MedganError):
    """An explanation that would not be valid: a classifier, a pair or a map that does not allow it."""


class ReportError(MedganError):
    """A figure or report that cannot be drawn from its input."""
