"""Days of traffic whose inputs have a time of day, and what is said of their drift."""
