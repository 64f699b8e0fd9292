"""What is measured, one file per table of docs/explanation/performance-notes.md. Imports contenders and harness."""
