"""Images under policies: what is allowed, and what each systemd does."""

from __future__ import annotations

import pytest

from sysgraft.errors import UnsupportedError
from sysgraft.formats.image_policy import parse
from sysgraft.formats.policy_builtin import builtin
from sysgraft.image.policy import Found, evaluate
from sysgraft.image.policy_assess import Assessment, Facts, Protection, Signature, assess

DEFAULT = "root=signed+absent:usr=signed+absent"
PLAIN = {"root": Found(read_only=True)}
UNSIGNED = {**PLAIN, "root-verity": Found(read_only=True)}
SIGNED = {**UNSIGNED, "root-verity-sig": Found(read_only=True)}
USR_SIGNED = {
    name: Found(read_only=True, fstype=fstype)
    for name, fstype in [("usr", "erofs"), ("usr-verity", None), ("usr-verity-sig", None)]
}
LUKS = {"root": Found(fstype="crypto_LUKS")}
LUKS_INTEGRITY = {"root": Found(fstype="crypto_LUKS", integrity=True)}
VERSIONS = range(252, 263)


# --- evaluate ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "image", "ok"),
    [
        (DEFAULT, SIGNED, True),
        (DEFAULT, USR_SIGNED, True),
        (DEFAULT, UNSIGNED, False),
        (DEFAULT, PLAIN, False),
        (DEFAULT, {}, True),
        ("root=signed", {}, False),
        ("root=verity", UNSIGNED, True),
        ("root=verity", SIGNED, True),
        ("root=verity", PLAIN, False),
        # Without +absent the signature partition has to be there.
        ("root=verity+signed", UNSIGNED, False),
        ("root=verity+signed+absent", UNSIGNED, True),
        ("root=encrypted", LUKS, True),
        ("root=encrypted", PLAIN, False),
        ("root=unprotected", LUKS, False),
        ("root=encryptedwithintegrity", LUKS, False),
        ("root=encryptedwithintegrity", LUKS_INTEGRITY, True),
        ("root=encrypted", LUKS_INTEGRITY, False),
        ("~", PLAIN, False),
        ("~", {}, True),
        ("-", SIGNED, True),
        ("root=unprotected:home=absent", {**PLAIN, "home": Found()}, False),
        ("root=unprotected", {**PLAIN, "home": Found()}, True),
        ("=verity", {}, False),
    ],
)
def test_262_allows(policy: str, image: dict[str, Found], ok: bool) -> None:
    assert evaluate(parse(policy), image).ok is ok


@pytest.mark.parametrize(
    ("policy", "image", "version", "ok"),
    [
        # Up to 257 the strongest protection found is the only one that counts.
        ("root=verity:root-verity-sig=unprotected", SIGNED, 257, False),
        ("root=verity:root-verity-sig=unprotected", SIGNED, 258, True),
        # Since 258 "unused" lets anything through that is there.
        ("root=signed+unused+absent", PLAIN, 257, False),
        ("root=signed+unused+absent", PLAIN, 258, True),
        # Integrity of encryption is looked at since 260.
        ("root=encrypted", LUKS_INTEGRITY, 259, True),
        ("root=encrypted", LUKS_INTEGRITY, 260, False),
    ],
)
def test_versions_differ_in(policy: str, image: dict[str, Found], version: int, ok: bool) -> None:
    assert evaluate(parse(policy), image, systemd_version=version).ok is ok


def test_every_violation_is_named() -> None:
    verdict = evaluate(parse("root=signed:home=absent"), {**UNSIGNED, "home": Found()})
    assert [violation.designator for violation in verdict.violations] == [
        *("root", "home", "root-verity-sig"),
    ]
    assert verdict.reason == (
        "root is verity without a signature, the policy wants signed; "
        "home is unprotected, the policy wants absent; "
        "root-verity-sig is absent, the policy wants unprotected"
    )


@pytest.mark.parametrize(
    ("policy", "partition", "reason"),
    [
        ("root=read-only-on", Found(), "root has the read-only attribute off"),
        ("root=read-only-off", Found(read_only=True), "root has the read-only attribute on"),
        ("root=growfs-off", Found(growfs=True), "root has the growfs attribute on"),
        ("root=growfs-on", Found(), "root has the growfs attribute off"),
        ("root=erofs", Found(fstype="ext4"), "root holds ext4, the policy wants erofs"),
        ("root=erofs", Found(fstype="erofs"), ""),
        ("root=erofs", Found(), ""),
        # Several names say nothing, to systemd.
        ("root=erofs+squashfs", Found(fstype="ext4"), ""),
        ("root=read-only-on+read-only-off", Found(), ""),
    ],
)
def test_attributes_and_file_systems_are_compared(
    policy: str, partition: Found, reason: str
) -> None:
    verdict = evaluate(parse(policy), {"root": partition})
    assert verdict.reason.startswith(reason)
    assert verdict.ok is (not reason)


def test_a_version_without_policies_cannot_judge() -> None:
    with pytest.raises(UnsupportedError):
        evaluate(parse("*"), PLAIN, systemd_version=253)


# --- assess --------------------------------------------------------------------------------------


def outcomes(text: str, image: dict[str, Found], signature: Signature) -> dict[int, str]:
    """What every version does: a protection, or "refused"."""
    results = {}
    for version in VERSIONS:
        policy = parse(text, systemd_version=max(version, 254))
        result = assess(policy, Facts(image, signature), systemd_version=version)
        results[version] = result.protection.value if result.accepts else "refused"
    return results


def changing(*steps: tuple[int, str]) -> dict[int, str]:
    """The outcome of each version, given from which version on it is what."""
    return {v: next(what for since, what in reversed(steps) if v >= since) for v in VERSIONS}


@pytest.mark.parametrize("image", [SIGNED, USR_SIGNED], ids=["root", "usr"])
def test_the_strict_policy_lets_through_what_is_signed_well(image: dict[str, Found]) -> None:
    since = 252 if image is SIGNED else 258
    expected = changing((252, "none"), (since, "signed"))
    assert outcomes(DEFAULT, image, Signature.OK) == expected


@pytest.mark.parametrize("state", [Signature.BAD, Signature.UNKNOWN])
def test_the_strict_policy_refuses_every_other_signature(state: Signature) -> None:
    assert set(outcomes(DEFAULT, SIGNED, state).values()) == {"refused"}


@pytest.mark.parametrize("image", [PLAIN, UNSIGNED], ids=["plain", "unsigned"])
def test_the_strict_policy_needs_254(image: dict[str, Found]) -> None:
    expected = changing((252, "none"), (254, "refused"))
    assert outcomes(DEFAULT, image, Signature.UNKNOWN) == expected


@pytest.mark.parametrize("state", [Signature.BAD, Signature.UNKNOWN])
def test_verity_beside_signed_lets_bad_signatures_through_since_259(state: Signature) -> None:
    expected = changing((252, "refused"), (259, "verity"))
    assert outcomes("root=verity+signed+absent", SIGNED, state) == expected


def test_verity_beside_signed_lets_unsigned_images_through_in_every_version() -> None:
    # Up to 257 there is no root hash to be had, so that the hash tree is not even used.
    expected = changing((252, "none"), (258, "verity"))
    assert outcomes("root=verity+signed+absent", UNSIGNED, Signature.UNKNOWN) == expected


def test_unused_beside_signed_lets_plain_images_through_since_258() -> None:
    expected = changing((252, "none"), (254, "refused"), (258, "none"))
    assert outcomes("root=signed+unused+absent", PLAIN, Signature.UNKNOWN) == expected


def test_without_absent_an_image_of_the_other_sort_is_refused() -> None:
    both = "root=signed:usr=signed"
    expected = changing((252, "signed"), (254, "refused"))
    assert outcomes(both, SIGNED, Signature.OK) == expected


def test_only_verity_in_the_policy_means_no_look_at_the_signature() -> None:
    expected = changing((252, "refused"), (254, "none"), (258, "verity"))
    assert outcomes("root=verity", SIGNED, Signature.BAD) == expected


def test_a_policy_without_verity_and_signed_uses_the_files_as_they_are() -> None:
    expected = changing((252, "refused"), (254, "none"))
    assert outcomes("root=unprotected", SIGNED, Signature.BAD) == expected


def test_encryption_is_not_called_unprotected() -> None:
    result = assess(builtin("@sysext"), Facts(LUKS))
    assert (result.accepts, result.protection) == (True, Protection.ENCRYPTED)


def test_the_weaker_of_two_partitions_decides() -> None:
    image = {**USR_SIGNED, "root": Found(read_only=True)}
    result = assess(builtin("@sysext"), Facts(image, Signature.OK))
    assert (result.accepts, result.protection) == (True, Protection.NONE)
    result = assess(parse("root=unprotected:usr=signed"), Facts(image, Signature.BAD))
    assert not result.accepts


@pytest.mark.parametrize(
    ("present", "reason"),
    [
        (["home"], "no root or usr"),
        (["root", "usr-verity"], "usr-verity, but no usr"),
        (["root", "root-verity-sig"], "root-verity-sig, but no root-verity"),
        (["root", "root-verity", "usr"], "exclude each other"),
    ],
)
def test_an_impossible_arrangement_is_refused_by_all(present: list[str], reason: str) -> None:
    facts = Facts(dict.fromkeys(present, Found()))
    for version in VERSIONS:
        result = assess(None, facts, systemd_version=version)
        assert not result.accepts
        assert reason in result.reason


def test_a_policy_that_ignores_everything_leaves_nothing_to_use() -> None:
    assert not assess(parse("-"), Facts(SIGNED, Signature.OK)).accepts


def test_versions_without_policies_say_that_they_do_not_apply_it() -> None:
    result = assess(parse(DEFAULT), Facts(UNSIGNED), systemd_version=253)
    assert result.accepts
    assert result.warnings[0].startswith("systemd 253 knows no image policies")


def test_a_version_that_cannot_read_the_policy_refuses() -> None:
    result = assess(parse("root=signed+erofs"), Facts(SIGNED, Signature.OK), systemd_version=259)
    assert result == Assessment(
        accepts=False,
        protection=Protection.NONE,
        reason="systemd 259 does not know the flag erofs",
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_let_through_without_a_warning_or_a_good_signature(version: int) -> None:
    for image in (PLAIN, UNSIGNED, SIGNED):
        for state in Signature:
            policy = builtin("@sysext", systemd_version=max(version, 254))
            result = assess(policy, Facts(image, state), systemd_version=version)
            good = result.protection is Protection.SIGNED and state is Signature.OK
            assert good or result.warnings or not result.accepts
