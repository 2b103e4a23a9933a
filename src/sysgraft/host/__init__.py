"""The only door to the machine: files, processes, workers, firmware variables."""
