"""``python -m sysgraft``."""

from sysgraft.cli.main import entry

if __name__ == "__main__":
    entry()
