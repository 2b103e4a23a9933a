"""Predicted PCRs are the TPM's: PCR 4, 11, 12 and 13 of real boots with three releases' stubs.

Each boot puts together as many features as go together. The values are read from outside, by the
emulated TPM itself, and every event of the firmware's log in these PCRs has to be the predicted
one.
"""

from __future__ import annotations

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

from boot.conftest import CMDLINE, CPUS, PATIENCE, build_addon, initrd
from pcrlock_kit import FIRMWARE, shipped_components
from pcrlock_kit import predict as pcrlock_predict
from sysgraft.build.uki.build import build_uki
from sysgraft.build.uki.options import UkiOptions
from sysgraft.lab.options import LabOptions
from sysgraft.lab.run import run_lab
from sysgraft.measure.boot import PCRS
from sysgraft.measure.events import value
from sysgraft.measure.pcr import BANKS
from sysgraft.seal import prediction as seal_prediction
from sysgraft.seal.assembly import Settings
from sysgraft.seal.pcrlock_files import write_components
from sysgraft.seal.prediction import BootRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from boot.conftest import Keys
    from conftest import DebianSid
    from stubs import Stub
    from sysgraft.lab.guests import Guests
    from sysgraft.lab.report import LabReport
    from sysgraft.seal.prediction import Prediction

pytestmark = [pytest.mark.boot, pytest.mark.oracle("stubs")]

CONSOLE: Final = CMDLINE
AT_ONCE: Final = 2


@dataclass(frozen=True, slots=True)
class Scenario:
    """A boot, for the lab and as a request.

    Attributes:
        release: of the stub.
        place: its folder.
        lab: options of the lab.
        request: the same for the prediction.
        events: how many are expected in each PCR, to see that the boot was the one that was meant.
    """

    release: int
    place: Path
    lab: dict[str, Any]
    request: BootRequest
    events: dict[int, int]


@dataclass(frozen=True, slots=True)
class Workshop:
    """Makes the parts of scenarios."""

    folder: Path
    guests: Guests
    stubs: Mapping[int, Stub]
    keys: Keys
    _made: dict[tuple[int, bool], Path] = field(default_factory=dict)

    def uki(self, release: int, *, profiles: bool = False) -> Path:
        """The small guest on a release's stub; with a second profile if that is wanted."""
        if (release, profiles) not in self._made:
            path = self.folder / f"linux-{release}{'-profiles' * profiles}.efi"
            joined = (self._profile(release),) if profiles else ()
            options = UkiOptions(
                **self._parts(release),
                profile="ID=main\nTITLE=Main\n" if profiles else None,
                join_profiles=joined,
            )
            build_uki(options, path)
            self._made[release, profiles] = path
        return self._made[release, profiles]

    def signed_uki(self, release: int) -> Path:
        """Likewise, signed with the key in db."""
        path = self.folder / f"signed-{release}.efi"
        build_uki(UkiOptions(**self._parts(release)), path, signing=self.keys.pair("db"))
        return path

    def _parts(self, release: int) -> dict[str, Any]:
        return {
            "linux": self.guests.path("vmlinuz"),
            "initrds": (self.guests.path("small.cpio.zst"),),
            "cmdline": CONSOLE,
            "os_release": f"@{self.guests.path('os-release')}",
            "uname": self.guests.kernel,
            "stub": str(self.stubs[release].stub),
        }

    def _profile(self, release: int) -> str:
        path = self.folder / f"rescue-{release}.profile"
        options = UkiOptions(
            profile="ID=rescue\nTITLE=Rescue\n",
            cmdline=f"{CONSOLE} sysgraft.rescue",
            os_release="",
            uname="",
            stub=str(self.stubs[release].addon),
        )
        build_uki(options, path)
        return str(path)

    def cmdline_addon(self, release: int, path: Path, text: str) -> None:
        """An addon with a command line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        build_addon(path, self.stubs[release], text)

    def initrd_addon(self, release: int, path: Path, name: str) -> None:
        """An addon with a small initrd."""
        content = initrd(self.folder, {f"from-{name}": b"an addon"}, f"{name}-{release}.cpio")
        stub = str(self.stubs[release].addon)
        build_uki(UkiOptions(initrds=(content,), os_release="", uname="", stub=stub), path)

    def esp(self, name: str, release: int, loader_conf: str) -> Path:
        """A partition with systemd-boot."""
        esp = self.folder / name / "esp"
        for each in ("EFI/BOOT", "EFI/Linux", "loader/entries"):
            (esp / each).mkdir(parents=True)
        shutil.copy(self.stubs[release].boot, esp / "EFI/BOOT/BOOTX64.EFI")
        (esp / "loader/loader.conf").write_text(f"timeout 0\ndefault {loader_conf}\n")
        return esp


def sidecars(folder: Path, **sizes: int) -> None:
    """Files with these names, the underscore for a dot, of these sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        path = folder / name.replace("_", ".")
        path.write_bytes(random.Random(f"{folder.name}/{name}").randbytes(size))


# --- The boots -----------------------------------------------------------------------------------


def direct(
    shop: Workshop, name: str, release: int, events: dict[int, int], **sizes: int
) -> Scenario:
    """The firmware starts the image; files beside it only."""
    place = shop.folder / name
    sidecars(place / "extras", **sizes)
    extras = tuple(str(each) for each in sorted((place / "extras").iterdir()))
    image = str(shop.uki(release))
    request = BootRequest(uki=image, extras=extras)
    return Scenario(release, place, {"uki": image, "extras": extras}, request, events)


def from_esp(
    shop: Workshop, esp: Path, release: int, entry: str, events: dict[int, int], profile: int = 0
) -> Scenario:
    """systemd-boot starts an entry."""
    settings = Settings(profile=profile or None)
    request = BootRequest(esp=str(esp), entry=entry, settings=settings)
    return Scenario(release, shop.folder / esp.parent.name, {"esp": str(esp)}, request, events)


def nothing_252(shop: Workshop) -> Scenario:
    return direct(shop, "nothing-252", 252, {4: 4, 11: 8, 12: 0, 13: 0})


def many_252(shop: Workshop) -> Scenario:
    """Also names that sort in an odd way, odd sizes, and confexts as it knows none."""
    esp = shop.esp("many-252", 252, "x.efi")
    shutil.copy(shop.uki(252), esp / "EFI/Linux/x.efi")
    own = esp / "EFI/Linux/x.efi.extra.d"
    sidecars(own, b_raw=1, C_raw=4096, a_raw=4095, Z_RAW=77, etc_confext_raw=5000, empty_raw=0)
    sidecars(own, token_cred=3, second_CRED=64, _hidden_raw=9, notes_txt=10)
    sidecars(own / "folder.raw", inside_raw=1)
    sidecars(esp / "loader/credentials", wide_cred=33)
    # systemd-boot 252 gives the image its own command line, and the stub measures that again.
    return from_esp(shop, esp, 252, "x", {4: 5, 11: 8, 12: 4, 13: 1})


def one_257(shop: Workshop) -> Scenario:
    return direct(shop, "one-257", 257, {4: 4, 11: 12, 12: 0, 13: 1}, only_raw=100_001)


def everything_257(shop: Workshop) -> Scenario:
    """With a boot counter, which systemd-boot changes before it starts the image."""
    esp = shop.esp("everything-257", 257, "x*.efi")
    # One profile: systemd-boot 257 starts the last one of an image with a counter in its name.
    shutil.copy(shop.uki(257), esp / "EFI/Linux/x+3.efi")
    own = esp / "EFI/Linux/x.efi.extra.d"
    sidecars(own, b_raw=1, A_raw=4096, etc_confext_raw=5000, token_cred=3)
    sidecars(esp / "loader/credentials", wide_cred=33)
    sidecars(esp / "loader/extensions", ignored_raw=44, ignored_confext_raw=44)
    shop.cmdline_addon(257, own / "b.addon.efi", "  own=1\tquiet \n")
    shop.initrd_addon(257, own / "a.addon.efi", "own")
    shop.cmdline_addon(257, esp / "loader/addons/all.addon.efi", "global=1")
    return from_esp(shop, esp, 257, "x", {4: 8, 11: 12, 12: 5, 13: 1})


def profile_257(shop: Workshop) -> Scenario:
    esp = shop.esp("profile-257", 257, "two.efi@rescue")
    shutil.copy(shop.uki(257, profiles=True), esp / "EFI/Linux/two.efi")
    sidecars(esp / "EFI/Linux/two.efi.extra.d", one_raw=5, two_raw=6)
    return from_esp(shop, esp, 257, "two", {4: 5, 11: 14, 12: 2, 13: 1}, profile=1)


def signed_257(shop: Workshop) -> Scenario:
    return signed(shop, 257)


def nothing_262(shop: Workshop) -> Scenario:
    return direct(shop, "nothing-262", 262, {4: 3, 11: 12, 12: 0, 13: 0})


def everything_262(shop: Workshop) -> Scenario:
    """A type 2 entry with a boot counter."""
    esp = shop.esp("everything-262", 262, "x*.efi")
    shutil.copy(shop.uki(262), esp / "EFI/Linux/x+3-1.efi")
    own = esp / "EFI/Linux/x.efi.extra.d"
    sidecars(own, b_raw=1, A_raw=4096, c_raw=0, etc_confext_raw=5000, token_cred=3)
    sidecars(esp / "loader/credentials", wide_cred=33)
    sidecars(esp / "loader/extensions", wide_raw=4444, wide_confext_raw=555, more_raw=1)
    shop.cmdline_addon(262, own / "b.addon.efi", "  own=1\tquiet \n")
    shop.initrd_addon(262, own / "a.addon.efi", "own")
    shop.cmdline_addon(262, esp / "loader/addons/all.addon.efi", "global=1")
    shop.initrd_addon(262, esp / "loader/addons/zero.addon.efi", "global")
    return from_esp(shop, esp, 262, "x", {4: 8, 11: 12, 12: 7, 13: 2})


def entry_262(shop: Workshop) -> Scenario:
    """A text file with options and extras, in an order of its own; with a boot counter."""
    esp = shop.esp("entry-262", 262, "one*.conf")
    shutil.copy(shop.uki(262), esp / "EFI/Linux/x.efi")
    sidecars(esp / "EFI/Linux/x.efi.extra.d", b_raw=1, A_raw=4096, token_cred=3)
    names = {"zeta_sysext_raw": 1000, "first_cred": 70, "alpha_sysext_raw": 2001}
    sidecars(esp / "more", **names, c_confext_raw=3, second_cred=1, empty_cred=0, odd_raw=5)
    shop.cmdline_addon(262, esp / "loader/addons/all.addon.efi", "global=1")
    listed = (*names, "missing_cred", "c_confext_raw", "empty_cred", "odd_raw", "second_cred")
    lines = ["title one", "uki /EFI/Linux/x.efi", f"options {CONSOLE}  a b ", "options entry=1"]
    lines += [f"extra /more/{name.replace('_', '.')}" for name in listed]
    (esp / "loader/entries/one+2.conf").write_text("\n".join(lines) + "\n")
    return from_esp(shop, esp, 262, "one", {4: 5, 11: 12, 12: 6, 13: 2})


def entry_with_profile_262(shop: Workshop) -> Scenario:
    """A text file that chooses a profile; the image is in a folder of its own."""
    esp = shop.esp("profile-262", 262, "two.conf")
    sidecars(esp / "images/two.efi.extra.d", one_raw=5, etc_confext_raw=6)
    shutil.copy(shop.uki(262, profiles=True), esp / "images/two.efi")
    lines = ["uki /images/two.efi", "profile 1", f"options {CONSOLE} entry=2"]
    (esp / "loader/entries/two.conf").write_text("\n".join(lines) + "\n")
    return from_esp(shop, esp, 262, "two", {4: 4, 11: 14, 12: 4, 13: 1})


def signed_262(shop: Workshop) -> Scenario:
    return signed(shop, 262)


def signed(shop: Workshop, release: int) -> Scenario:
    """With Secure Boot on: nothing but the image is measured in PCR 4, whatever the release."""
    place = shop.folder / f"signed-{release}"
    sidecars(place / "extras", one_raw=12, token_cred=13)
    extras = tuple(str(each) for each in sorted((place / "extras").iterdir()))
    image = str(shop.signed_uki(release))
    lab = {"uki": image, "extras": extras, "secure_boot": str(shop.keys.folder)}
    request = BootRequest(uki=image, extras=extras)
    return Scenario(release, place, lab, request, {4: 3, 11: 12, 12: 1, 13: 1})


SCENARIOS: Final[Mapping[str, Callable[[Workshop], Scenario]]] = {
    make.__name__: make
    for make in (
        nothing_252,
        many_252,
        one_257,
        everything_257,
        profile_257,
        signed_257,
        nothing_262,
        everything_262,
        entry_262,
        entry_with_profile_262,
        signed_262,
    )
}


# --- Booting -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Booted:
    """A boot, and what was predicted of it."""

    scenario: Scenario
    report: LabReport
    prediction: Prediction


@pytest.fixture(scope="module")
def shop(
    guests: Guests,
    stubs: Mapping[int, Stub],
    keys: Keys,
    tmp_path_factory: pytest.TempPathFactory,
) -> Workshop:
    """Where the parts are made."""
    return Workshop(tmp_path_factory.mktemp("boots"), guests, stubs, keys)


@pytest.fixture(scope="module")
def boots(request: pytest.FixtureRequest, shop: Workshop) -> Iterator[dict[str, Future[Booted]]]:
    """The boots that tests of this run want, two at a time, each once."""
    names = {
        item.callspec.params["boot"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module
        if hasattr(item, "callspec") and "boot" in item.callspec.params
    }
    wanted = [(name, SCENARIOS[name](shop)) for name in SCENARIOS if name in names]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {name: pool.submit(carry_out, scenario) for name, scenario in wanted}
        pool.shutdown(cancel_futures=True)


def carry_out(scenario: Scenario) -> Booted:
    """Predict first, then boot."""
    prediction = seal_prediction.predict(scenario.request, banks=tuple(BANKS), phases=[""])
    return Booted(
        scenario, run_lab(LabOptions(timeout=PATIENCE, cpus=CPUS, **scenario.lab)), prediction
    )


# --- What was predicted --------------------------------------------------------------------------


@pytest.mark.parametrize("boot", SCENARIOS)
def test_the_tpm_holds_what_was_predicted(boots: dict[str, Future[Booted]], boot: str) -> None:
    booted = boots[boot].result()
    report = booted.report
    assert report.ending == "powered-off", report.serial
    (predicted,) = booted.prediction.sets
    assert set(report.pcrs) == set(BANKS)
    for bank, values in report.pcrs.items():
        found = {pcr: values[pcr].hex() for pcr in PCRS}
        assert found == {n: each.hex() for n, each in predicted.values("", bank).items()}, bank


@pytest.mark.parametrize("boot", SCENARIOS)
def test_every_event_was_predicted(boots: dict[str, Future[Booted]], boot: str) -> None:
    booted = boots[boot].result()
    assert booted.report.event_log is not None, booted.report.serial
    (predicted,) = booted.prediction.sets
    log = [event for event in booted.report.event_log.events if event.is_measured]
    for pcr in PCRS:
        found = [(each.type, each.digests, each.data) for each in log if each.pcr == pcr]
        ours = [each for each in predicted.events if each.pcr == pcr]
        assert len(found) == booted.scenario.events[pcr], pcr
        assert [each[:2] for each in found] == [(each.type, each.digests) for each in ours], pcr
        # What the log says of an executable depends on where it is in memory.
        told = [data if each.data else b"" for (_, _, data), each in zip(found, ours, strict=True)]
        assert told == [each.data for each in ours], pcr


@pytest.mark.parametrize("boot", SCENARIOS)
def test_events_come_in_the_predicted_order(boots: dict[str, Future[Booted]], boot: str) -> None:
    """Also across PCRs; the running system's own come later, and no log has them all."""
    booted = boots[boot].result()
    assert booted.report.event_log is not None, booted.report.serial
    (predicted,) = booted.prediction.sets
    log = [each for each in booted.report.event_log.events if each.is_measured]
    found = [(each.pcr, each.digests["sha256"]) for each in log if each.pcr in PCRS]
    assert found == [(each.pcr, each.digests["sha256"]) for each in predicted.events]
    for pcr in PCRS:
        assert value(predicted.events, pcr, "sha256") == booted.report.pcrs["sha256"][pcr]


# --- systemd-pcrlock -----------------------------------------------------------------------------


@pytest.mark.oracle("debian-sid", "swtpm")
@pytest.mark.parametrize("boot", ["one_257", "everything_262", "entry_262"])
def test_pcrlock_keeps_the_pcrs_with_our_components(
    boots: dict[str, Future[Booted]], debian_sid: DebianSid, tmp_path: Path, boot: str
) -> None:
    """The boot's own set of files and a next one; systemd has no such components itself."""
    booted = boots[boot].result()
    log = booted.report.event_log
    assert log is not None, booted.report.serial
    request = booted.scenario.request
    sidecars(tmp_path / "next", next_raw=3)
    sets = (("current", ()), ("next", (str(tmp_path / "next"),)))
    wanted = BootRequest(
        uki=request.uki, extras=request.extras, esp=request.esp, entry=request.entry, sets=sets
    )
    prediction = seal_prediction.predict(wanted, phases=[""])
    current, following = (each.values("", "sha256") for each in prediction.sets)
    assert current[13] == booted.report.pcrs["sha256"][13] != following[13]
    shipped = shipped_components(debian_sid, tmp_path / "shipped", prefixes=FIRMWARE)
    without = pcrlock_predict(debian_sid, tmp_path / "without", log.log, [shipped])
    assert 13 not in without.pcrs
    write_components(prediction, str(tmp_path / "ours"), replace=False)
    folders = [shipped, tmp_path / "ours"]
    found = pcrlock_predict(debian_sid, tmp_path / "with", log.log, folders)
    assert set(found.pcrs) == set(PCRS), found.messages
    assert found.pcrs[13] == {current[13].hex(), following[13].hex()}
    for pcr in PCRS:
        assert found.pcrs[pcr] >= {current[pcr].hex(), following[pcr].hex()}, pcr
