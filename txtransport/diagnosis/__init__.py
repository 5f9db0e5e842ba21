"""What a failure looks like, whose fault it is and what to do: tables and pure functions."""
