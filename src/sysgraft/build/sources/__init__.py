"""Where an extension's files come from: one module for each kind of source."""
