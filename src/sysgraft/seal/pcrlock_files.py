"""Writes components of systemd-pcrlock into a folder, beside those that are there.

What they are made of is decided by `sysgraft.seal.pcrlock`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sysgraft.errors import OutputError, SysgraftError
from sysgraft.formats import pcrlock
from sysgraft.host.files import OpenFile, cannot_write
from sysgraft.host.output import atomic_output
from sysgraft.seal.pcrlock import MAX_RECORDS, components, safe_name

if TYPE_CHECKING:
    from sysgraft.seal.pcrlock import Variant
    from sysgraft.seal.prediction import Prediction


def write_components(prediction: Prediction, folder: str, *, replace: bool) -> tuple[str, ...]:
    """Write the components of a prediction, of the PCRs that were asked for only.

    Sidecars have a variant for each set, called as that; loaders are called as their files, all
    else as the image. Further images can be written into the same folder. A file that is there
    already and says the same is left alone; one variant of a name is replaced by the next, also if
    that has another number of records, but one without records stays.
    A policy can have few values of a PCR (`sysgraft.seal.pcrlock.MAX_VALUES`): variants of earlier
    calls count too, and are not looked at here.

    Args:
        prediction: with the banks that systemd-pcrlock is to predict.
        folder: where the components go, such as ``/var/lib/pcrlock.d``; made if it is missing.
        replace: whether variants that are there may be replaced.

    Returns:
        The paths of all files of the prediction, in the order in which they are looked for.

    Raises:
        LimitError: a set has more than `MAX_RECORDS` measurements.
        OutputError: a variant is there and says something else, or it cannot be written.
        UsageError: systemd-pcrlock could not use the components.
    """
    chosen = components(prediction)
    if not replace:
        for each in chosen:
            _refuse_existing(folder, each)
    for each in chosen:
        _write(os.path.join(folder, each.file), each.content, replace=replace)
        for other in _others(folder, each):
            _remove(other)
    return tuple(dict.fromkeys(os.path.join(folder, each.file) for each in chosen))


def _others(folder: str, variant: Variant) -> list[str]:
    """Files of a variant of this name with another number of records."""
    place, name = os.path.split(os.path.join(folder, variant.file))
    end = f"-{safe_name(variant.name)}{pcrlock.SUFFIX}"
    try:
        names = os.listdir(place)
    except OSError:  # there is none, or writing will say what is wrong
        return []
    # One without records is not called as its set.
    numbered = (each for each in names if each[3:] == end and each[:3].isdecimal())
    found = (each for each in numbered if each != name and int(each[:3]) < MAX_RECORDS)
    return [os.path.join(place, each) for each in sorted(found)]


def _refuse_existing(folder: str, variant: Variant) -> None:
    path = os.path.join(folder, variant.file)
    found = _others(folder, variant)
    if os.path.lexists(path) and not _is_same(path, variant.content):
        found.append(path)
    for each in found:
        message = "the file exists, and has other measurements"
        raise OutputError(message, file=each, hint="use --force to replace it")


def _is_same(path: str, content: bytes) -> bool:
    try:
        with OpenFile(path) as blob:
            return blob.size == len(content) and blob.read_at(0, blob.size) == content
    except (OSError, SysgraftError):
        return False


def _write(path: str, content: bytes, *, replace: bool) -> None:
    if _is_same(path, content):
        return
    with atomic_output(path, replace=replace, make_folders=True) as file:
        file.write(content)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError as error:
        raise cannot_write(error, path) from error
