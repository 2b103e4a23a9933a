"""What modules do not declare of the firmware they ask for: data, each entry with its source."""
