"""The journal: records of decisions and outcomes in the log, the audit file and the metrics."""
