"""Extensions on a node: kept, mapped to boot entries, activated at boot, and told about."""
