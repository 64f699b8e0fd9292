"""What models cost: rates, where they come from, and under which names they are found."""
