"""STARTTLS in mid-conversation: the mixin, and the guard for other people's protocols."""
