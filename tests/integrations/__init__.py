"""The faces that other programs see."""
