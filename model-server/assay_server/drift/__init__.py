"""Input drift: how what is served differs from what the model was trained on, feature by feature.

Rows are counted by feature and bin of the reference in the artifact, some hundred at a time, and
only counts are kept. They are exposed twice: as counters, which add up over pods and clusters and
let a reader take any window, and as PSI and KS of the last rows of this process. Labels are names
of features and numbers of bins; edges and names of categories are data of the people in the
training set, and stay in the artifact.
"""

from assay_server.drift.binning import MAX_FEATURES
from assay_server.drift.monitor import Drift, Inputs, State

__all__ = ["MAX_FEATURES", "Drift", "Inputs", "State"]
