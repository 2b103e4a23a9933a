"""From sources to extension images."""
