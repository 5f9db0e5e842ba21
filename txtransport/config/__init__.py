"""What a user wrote, as frozen values: URL, options, TLS policy, and what they resolve to."""
