"""Images whose truth is known: heads and limbs in MR and CT, prostates, neurites, chest radiographs, DICOM series.

Knows anatomy only as far as a test or a demonstration needs it, and volumes, labels and grids. Every phantom is a pure
function of a NumPy generator. A DICOM series is planned as values (:mod:`~medgan.phantoms.dicom_series`), faults are
planted in the plan (``dicom_*_faults``, ``dicom_stacks``, ``dicom_multiframe``, ``dicom_mosaic``,
``dicom_companions``, ``dicom_identity``), and it is written last (``dicom_folder``). Must not know cohorts, recipes or
tensors, nor how files are read.
"""
