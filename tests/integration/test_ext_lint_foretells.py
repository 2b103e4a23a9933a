"""``ext lint`` foretells what the guest of ``tests/boot/test_extensions.py`` does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conftest import make_pair
from extension_cases import MERGED, POLICY, SETS, SYSTEMD, Signers, candidates
from sysgraft.image.lint.lint import LintOptions, lint_images
from sysgraft.sign.pair import load_pair
from sysgraft.sign.verify import files as trust_files
from sysgraft.sign.verify.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Target:
    """The guest, as far as it is known."""

    def __init__(self, folder: Path) -> None:
        pairs = []
        trust = TrustStore()
        for name in Signers._fields:
            (folder / name).mkdir()
            pair = make_pair(folder / name, f"{name} signer")
            pairs.append(load_pair(str(pair.key), str(pair.certificate)))
            if name != "stranger":
                trust |= trust_files.certificate(str(pair.certificate))
        self.images = candidates(folder, Signers(*pairs))
        self._options = LintOptions(
            systemd_version=SYSTEMD,
            image_policy=POLICY,
            trust=trust,
            os_release={"ID": "debian", "VERSION_ID": "13"},
        )

    def merged(self, names: Sequence[str]) -> tuple[str, ...]:
        """The names of what is merged of these."""
        report = lint_images([self.images[name] for name in names], self._options)
        files = {str(self.images[name]): name for name in names}
        return tuple(files[file] for merge in report.merges for file in merge.merged)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    return Target(tmp_path_factory.mktemp("cases"))


@pytest.mark.parametrize("name", sorted(MERGED))
def test_what_is_merged_alone(target: Target, name: str) -> None:
    assert target.merged([name]) == ((name,) if MERGED[name] else ())


@pytest.mark.parametrize("names", sorted(SETS), ids="+".join)
def test_what_is_merged_of_a_set(target: Target, names: tuple[str, ...]) -> None:
    assert target.merged(names) == SETS[names]


def test_every_case_is_tried(target: Target) -> None:
    assert set(target.images) == set(MERGED) == {name for names in SETS for name in names}
