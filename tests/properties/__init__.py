"""Laws that hold for any sequence of operations, by hypothesis."""
