"""Whatever the administrator's policies: the node's never lets in what one of them keeps out."""

from __future__ import annotations

from hypothesis import given, reject, settings
from hypothesis import strategies as st
from test_image_policy_algebra import images, policies

from sysgraft.errors import SysgraftError
from sysgraft.formats.extension_release import Kind
from sysgraft.formats.image_policy import ImagePolicy, parse
from sysgraft.image.policy import Found
from sysgraft.image.policy_assess import Facts, Signature, assess
from sysgraft.node.modes import policy
from sysgraft.node.settings import Mode

releases = st.integers(254, 262)
# What extensions consist of; of other partitions systemd makes no use.
mergeable = images.map(
    lambda found: {name: each for name, each in found.items() if name.startswith(("root", "usr"))}
)
usual = [
    {"root" + end: Found(read_only=True) for end in ("", "-verity", "-verity-sig")[:count]}
    for count in (1, 2, 3)
]
mergeable |= st.sampled_from(usual)
usually = st.sampled_from(
    [
        parse(text)
        for text in (
            "root=verity+signed+absent",
            "root=signed+absent",
            "root=unprotected+absent:usr=signed",
            "*",
        )
    ]
)
facts = st.builds(Facts, mergeable, st.sampled_from(Signature))


@settings(max_examples=200)
@given(
    st.sampled_from(Mode),
    st.sampled_from(Kind),
    st.booleans(),
    st.lists(policies | usually, max_size=3),
    mergeable,
    st.sampled_from(Signature),
    releases,
)
def test_nothing_is_weakened(
    mode: Mode,
    kind: Kind,
    unsigned: bool,
    own: list[ImagePolicy],
    image: dict[str, Found],
    signature: Signature,
    release: int,
) -> None:
    try:
        text = policy(mode, kind, unsigned=unsigned, own=[str(each) for each in own])
        own = [each.at(release) for each in own]
    except SysgraftError:
        reject()
    found = Facts(image, signature)
    if assess(parse(text), found, systemd_version=release).accepts:
        base = policy(mode, kind, unsigned=unsigned)
        for each in (parse(base), *own):
            assert assess(each, found, systemd_version=release).accepts, str(each)


@settings(max_examples=200)
@given(st.lists(policies | usually, max_size=2), facts, releases)
def test_enforced_takes_only_what_is_signed(
    own: list[ImagePolicy], found: Facts, release: int
) -> None:
    try:
        text = policy(Mode.ENFORCED, Kind.SYSEXT, unsigned=False, own=[str(each) for each in own])
    except SysgraftError:
        reject()
    result = assess(parse(text), found, systemd_version=release)
    if result.accepts:
        assert found.signature is Signature.OK
        assert {"root-verity-sig", "usr-verity-sig"} & found.found.keys()
