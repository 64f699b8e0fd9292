"""Tests of each command, as a process or in the test's own."""
