"""ukify's config file: every key, every kind of line, and errors that name file, line and key."""

from __future__ import annotations

import time

import pytest

from sysgraft.build.uki.config import PCR_KEYS, UKI_KEYS, Config, parse
from sysgraft.errors import InputError

# ukify(1) of systemd 257.13 and 262.1, and `ukify --help` of both.
KEYS_257 = """
Linux OSRelease Cmdline Initrd Microcode Splash DeviceTree DeviceTreeAuto HWIDs Uname SBAT PCRPKey
Profile EFIArch Stub PCRBanks SigningEngine SigningProvider CertificateProvider
SecureBootSigningTool SecureBootPrivateKey SecureBootCertificate SecureBootCertificateDir
SecureBootCertificateName SecureBootCertificateValidity SignKernel
"""
KEYS_262 = "Firmware PCRSig SecureBootCertificateCommonName SignInitrdPCRs"
PCR_KEYS_257 = "PCRPrivateKey PCRPublicKey Phases"
PCR_KEYS_262 = "PCRCertificate PolicyRef"


def settings(text: str) -> Config:
    return parse(text, "ukify.conf")


def test_all_keys_of_257_and_262_are_known() -> None:
    assert set(UKI_KEYS) == set(f"{KEYS_257} {KEYS_262}".split())
    assert set(PCR_KEYS) == set(f"{PCR_KEYS_257} {PCR_KEYS_262}".split())
    assert len(set(UKI_KEYS.values()) | set(PCR_KEYS.values())) == len(UKI_KEYS) + len(PCR_KEYS)


@pytest.mark.parametrize("key", UKI_KEYS)
def test_a_key_sets_its_option(key: str) -> None:
    found = settings(f"[UKI]\n{key} = yes\n").settings
    (value,) = found.values()
    assert list(found) == [UKI_KEYS[key]]
    assert value in ("yes", ["yes"], True)


@pytest.mark.parametrize("key", PCR_KEYS)
def test_a_key_of_a_group_sets_its_option(key: str) -> None:
    found = settings(f"[PCRSignature:a b]\n{key} = value\n")
    assert found == Config({}, {"a b": {PCR_KEYS[key]: "value"}})


def test_a_file_with_everything() -> None:
    found = settings(
        "# The whole line, and the rest of one.\n"
        "[UKI]\n"
        "Linux=/boot/vmlinuz-6  # not the old one\n"
        "Initrd = one.img two.img\n"
        "    three.img\n"
        "\tfour#4.img\n"
        "Cmdline = root=/dev/vda2\n"
        "  quiet\n"
        "\n"
        "SignKernel=No\n"
        "SBAT=sbat,1\n"
        "     x,1,X,x,1,u\n"
        "Firmware = /fw/a b\n"
        "[PCRSignature:initrd]\r\n"
        "PCRPrivateKey = initrd.pem\r\n"
        "Phases=enter-initrd\r\n"
        "[UKI]\n"
        "OSRelease=@os=release\n"
        "[PCRSignature:all]\n"
        "PCRPrivateKey=all.pem\n"
        "[PCRSignature:initrd]\n"
        "PolicyRef = ref"
    )
    assert found == Config(
        {
            "linux": "/boot/vmlinuz-6",
            "initrd": ["one.img", "two.img", "three.img", "four#4.img"],
            "cmdline": "root=/dev/vda2\nquiet",
            "sign_kernel": False,
            "sbat": ["sbat,1\nx,1,X,x,1,u"],
            "efifw": ["/fw/a b"],
            "os_release": "@os=release",
        },
        {
            "initrd": {
                "pcr_private_key": "initrd.pem",
                "phases": "enter-initrd",
                "policyref": "ref",
            },
            "all": {"pcr_private_key": "all.pem"},
        },
    )


@pytest.mark.parametrize("text", ["", "\n\n", "# only\n  # comments", "[UKI]", "[UKI] # nothing"])
def test_a_file_may_say_nothing(text: str) -> None:
    assert settings(text) == Config()


def test_settings_may_be_indented_alike() -> None:
    assert settings("[UKI]\n  Linux=a\n  Uname=b\n    c\n").settings == {
        "linux": "a",
        "uname": "b\nc",
    }


def test_an_empty_line_or_a_comment_ends_a_value() -> None:
    for between in ("", "# comment", "   # comment"):
        found = settings(f"[UKI]\nLinux=a\n{between}\n  Uname=b\n")
        assert found.settings == {"linux": "a", "uname": "b"}


def test_the_last_value_of_a_key_counts() -> None:
    found = settings("[UKI]\nInitrd=a b\nLinux=x\nInitrd=c\nLinux=y\n")
    assert found.settings == {"initrd": ["c"], "linux": "y"}


def test_an_empty_value_takes_back_or_says_none() -> None:
    found = settings("[UKI]\nLinux=x\nStub=y\nLinux=\nInitrd=\nSignKernel=\nFirmware=\nCmdline=\n")
    assert found.settings == {"stub": "y", "cmdline": ""}
    found = settings("[UKI]\nOSRelease=\nUname=\nHWIDs=\n")
    assert found.settings == {"os_release": "", "uname": "", "hwids": ""}


@pytest.mark.parametrize(
    ("word", "value"),
    [(word, True) for word in ("1", "true", "YES", "y", "t", "On")]
    + [(word, False) for word in ("0", "False", "no", "n", "f", "off")],
)
def test_words_for_yes_and_no(word: str, value: bool) -> None:
    assert settings(f"[UKI]\nSignInitrdPCRs={word}").settings == {"sign_initrd_pcrs": value}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Linux=x\n", "line 1 is no setting: 'Linux=x'"),
        ("[UKI]\n\nLinux\n", "line 3 is no setting: 'Linux'"),
        ("[UKI]\nLinux\n  =x\n", "line 2 is no setting: 'Linux\\n=x'"),
        ("[UKI]\n=x\n", "line 2 is no setting: '=x'"),
        ("[UKI]\nLinux: x\n", "line 2 is no setting: 'Linux: x'"),
        ("[UKI]\n[PCRSignature:x\n", "line 2 is no setting: '[PCRSignature:x'"),
        ("[UKI] junk\n", "line 1 is no setting: '[UKI] junk'"),
        ("# a\n[UKI]\nLinux=x\nlinux=x\n", "line 4: unknown key linux"),
        ("[UKI]\nSecureBootPrivatKey=x\n", "line 2: unknown key SecureBootPrivatKey"),
        ("[UKI]\nPCRPrivateKey=x\n", "line 2: unknown key PCRPrivateKey"),
        ("[PCRSignature:a]\nLinux=x\n", "line 2: unknown key Linux"),
        ("[uki]\n", "line 1: the section [uki] is not known"),
        ("[ UKI ]\n", "line 1: the section [ UKI ] is not known"),
        ("[DEFAULT]\n", "line 1: the section [DEFAULT] is not known"),
        ("[PCRSignature]\n", "the section [PCRSignature] needs a name behind one colon"),
        ("[PCRSignature:]\n", "the section [PCRSignature:] needs a name behind one colon"),
        ("[PCRSignature:a:b]\n", "the section [PCRSignature:a:b] needs a name behind one colon"),
        ("[UKI]\nLinux=x\n\nSignKernel=maybe\n", "line 4: SignKernel is 'maybe', yes or no is"),
    ],
)
def test_errors_name_file_line_and_key(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        settings(text)
    assert caught.value.file == "ukify.conf"
    assert message in caught.value.message


def test_an_unknown_key_is_answered_with_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        settings("[UKI]\nKernel=x\n")
    assert caught.value.hint == f"known here: {', '.join(UKI_KEYS)}"


@pytest.mark.parametrize("text", ["{}", "[UKI]\n{}=x", "[{}]", "[UKI]\nSignKernel={}"])
def test_what_is_a_book_is_not_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text.format("x" * 10_000), "ukify.conf")
    assert len(str(caught.value)) < 200


def test_many_lines_of_one_value_take_time_in_proportion() -> None:
    def seconds(count: int) -> float:
        text = "[UKI]\nCmdline=a\n" + " b\n" * count
        start = time.process_time()
        assert parse(text, "ukify.conf").settings["cmdline"] == "a" + "\nb" * count
        return time.process_time() - start

    few = min(seconds(20_000) for _ in range(3))
    assert seconds(300_000) < 40 * few
