"""What has a machine re-probe devices after its extensions are merged: units, and a script."""
