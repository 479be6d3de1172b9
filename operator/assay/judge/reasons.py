"""Every reason that a judgement can give. The texts here are the reference for users."""

# Promote
NOT_WORSE = "NotWorse"
"""Promote: every metric is proven to be no worse than stable by its margin or more."""

BETTER = "Better"
"""Promote: every metric is proven to be better than stable (`promoteOn: Better`)."""

# Rollback
WORSE = "Worse"
"""Rollback: a metric is proven worse than stable (`rollbackOn: Worse`)."""

WORSE_THAN_MARGIN = "WorseThanMargin"
"""Rollback: a metric is proven worse than stable by more than its margin."""

FLOOR_BREACHED = "FloorBreached"
"""Rollback: a metric is proven to lie below its absolute floor, and stable does not."""

WORSE_LATELY = "WorseLately"
"""Rollback: a metric is proven worse since a moment in the middle of the trial: good at first."""

WORSE_IN_MEMBER = "WorseInMember"
"""Rollback: a metric is proven worse in one member cluster, whatever it is in the others."""

# Hold: not enough, not yet
UNDECIDED = "Undecided"
"""Hold: there are labels enough to test, and neither proof is complete."""

BURN_IN = "BurnIn"
"""Hold: too few labels of the kind that the test needs before its error rate holds."""

RARE_CLASS = "RareClass"
"""Hold: a metric over all classes needs more correct rows of the rarest one in each arm."""

TOO_FEW_USERS = "TooFewUsers"
"""Hold: labels come from so few users that the variance between them is not known."""

USERS_UNKNOWN = "UsersUnknown"
"""Hold: users were split, and labelled rows do not say whose they are."""

UNDERPOWERED = "Underpowered"
"""Hold: at this rate of labels no proof is expected before the trial's time is over."""

NO_LABELS = "NoLabels"
"""Hold: an arm has no labelled rows at all. No data is neither good nor bad."""

ONE_CLASS_ONLY = "OneClassOnly"
"""Hold: an arm's labels are all positive or all negative, so there is nothing to rank."""

METRIC_UNDEFINED = "MetricUndefined"
"""Hold: the metric has no value yet, e.g. F1 without one positive label or prediction."""

NO_SCORES = "NoScores"
"""Hold: an arm has labels but no scores of the positive class; AUC needs them."""

POSITIVE_LABEL_UNKNOWN = "PositiveLabelUnknown"
"""Hold: which class is the positive one is not said, or no count knows that class."""

BELOW_FLOOR = "BelowFloor"
"""Hold: the canary measures below its floor; that is not proven, but it is not promoted so."""

FLOOR_BREACHED_BY_BOTH = "FloorBreachedByBoth"
"""Hold: the canary is proven below its floor, but so measures stable. Going back cures nothing."""

# Hold: the evidence cannot be trusted
LABEL_COVERAGE_LOW = "LabelCoverageLow"
"""Hold: a smaller share of the served rows has a label than the settings ask for."""

LABEL_COVERAGE_MISMATCH = "LabelCoverageMismatch"
"""No promotion: the share of labelled rows differs between the arms beyond chance."""

LABELS_DEPEND_ON_PREDICTION = "LabelsDependOnPrediction"
"""Hold: labels come back for some predicted classes more than for others, and have no weights."""

SAMPLE_RATIO_MISMATCH = "SampleRatioMismatch"
"""No promotion: the canary serves another share of the rows than the route was asked for."""

BINS_TOO_COARSE = "BinsTooCoarse"
"""Hold: what the score bins hide could be more than a quarter of the margin."""
