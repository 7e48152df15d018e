"""The README's picture: three figures beside those of peers, from the kept results."""
