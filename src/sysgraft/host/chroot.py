"""Whether this process has another root than the machine, as where an image is built."""

from __future__ import annotations

import os

_INIT: str = "/proc/1/root"


def is_chroot() -> bool:
    """Whether ``/`` is not that of the first process; where nobody can tell it is taken to be.

    As systemd's ``running_in_chroot`` (src/basic/virt.c): who may not look is in no chroot.
    """
    try:
        return not os.path.samestat(os.stat("/"), os.stat(_INIT))
    except PermissionError:
        return False
    except OSError:
        return True
