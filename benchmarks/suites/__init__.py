"""What is measured, one file per table of docs/internals/performance-notes.md. Imports contenders and harness."""
