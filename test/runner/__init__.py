"""How test/run builds, runs and counts; one file per kind of test."""
