"""``ext lint``: kernel modules and their indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from lint_kit import (
    KERNEL,
    MAGIC,
    MODULES,
    RELOADED,
    UNITS,
    Maker,
    codes,
    lint,
    module,
    running,
    unchecked,
    xz,
    zstd,
)
from sysgraft.errors import InputError
from sysgraft.image.lint.lint import LintOptions
from sysgraft.testing.certificates import make_identity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# --- Kernel modules -------------------------------------------------------------------------------

INDEX: Final = f"{MODULES}/modules.dep"
LOADED: Final = running("udevadm trigger")


def with_modules(
    make: Maker, name: str, *modules: str, index: str | None = None, **more: str
) -> Path:
    files: dict[str, Any] = {f"{MODULES}/updates/{each}.ko": module(each) for each in modules}
    if index is not None:
        files[INDEX] = "".join(f"updates/{each}.ko:\n" for each in index.split())
    return make.image(name, {**files, **LOADED, **more}, release=RELOADED)


def indexes(report: Any) -> dict[str, list[str]]:
    return {code: paths for code, paths in codes(report).items() if code != "same-file"}


def test_modules_in_no_index(make: Maker) -> None:
    image = with_modules(make, "a", "one", "two")
    paths = [f"/{MODULES}/updates/{name}.ko" for name in ("one", "two")]
    report = lint(image)
    assert codes(report) == {"modules-unindexed": paths}
    assert "no --kernel-tree" in unchecked(report)
    again = {f"{UNITS}/again.service": "[Service]\nExecStart=depmod -a\nExecStart=modprobe x\n"}
    assert (
        codes(
            lint(
                make.image("b", {f"{MODULES}/updates/x.ko": module("x"), **again}, release=RELOADED)
            )
        )
        == {}
    )


def test_an_index_that_may_hide_the_bases(make: Maker) -> None:
    image = with_modules(make, "a", "one", index="one")
    assert codes(lint(image)) == {"modules-index": [f"/{INDEX}"]}


def test_an_index_that_hides_anothers(make: Maker) -> None:
    one = with_modules(make, "a", "one", index="one")
    two = with_modules(make, "b", "two", index="two")
    report = lint(one, two)
    assert indexes(report) == {
        "modules-hidden": [f"/{MODULES}/updates/one.ko"],
        "modules-index": [f"/{INDEX}"],
    }
    assert report.findings[0].images == (str(two), str(one))


def test_an_index_against_the_bases(make: Maker) -> None:
    files: dict[str, bytes | str] = {
        f"{MODULES}/kernel/base.ko": module("base"),
        f"{MODULES}/modules.dep": "kernel/base.ko:\n",
    }
    options = LintOptions(host_root=make.folder_of("base", files))
    hiding = with_modules(make, "a", "one", index="one")
    report = lint(hiding, options=options)
    assert indexes(report) == {"modules-hidden": [f"/{MODULES}/kernel/base.ko"]}
    whole = make.image(
        "b",
        {
            f"{MODULES}/updates/one.ko": module("one"),
            INDEX: "kernel/base.ko:\nupdates/one.ko:\n",
            **LOADED,
        },
        release=RELOADED,
    )
    assert codes(lint(whole, options=options)) == {}
    missing = with_modules(make, "c", "one")
    assert codes(lint(missing, options=options)) == {
        "modules-unindexed": [f"/{MODULES}/updates/one.ko"]
    }


def test_an_index_whose_binary_form_is_of_another_layer(make: Maker) -> None:
    files: dict[str, bytes | str] = {
        f"{MODULES}/kernel/base.ko": module("base"),
        f"{MODULES}/modules.dep": "kernel/base.ko:\n",
        f"{MODULES}/modules.dep.bin": b"binary",
    }
    options = LintOptions(host_root=make.folder_of("base", files))
    image = make.image("a", {INDEX: "kernel/base.ko:\n", **LOADED}, release=RELOADED)
    report = lint(image, options=options)
    assert {code: each for code, each in codes(report).items() if code != "replaces-base"} == {
        "modules-index": [f"/{INDEX}"]
    }


def kernel_tree(make: Maker, *, signed: bool = False, magic: str = MAGIC) -> LintOptions:
    signer = make_identity("kernel key", kind="p384") if signed else None
    files = {
        f"{KERNEL}/kernel/base.ko": module("base", magic=magic, signer=signer),
        f"{KERNEL}/kernel/more.ko.xz": xz(module("more", magic=magic, signer=signer)),
        f"{KERNEL}/modules.builtin": b"kernel/built-in.ko\n",
    }
    return LintOptions(kernel_tree=make.folder_of("tree", files) + f"/{KERNEL}")


def one_module(make: Maker, data: bytes, suffix: str = "") -> Path:
    files = {f"{MODULES}/updates/demo.ko{suffix}": data}
    again = running("udevadm trigger", "depmod")
    return make.image("a", {**files, **again}, release=RELOADED)


DEMO: Final = f"/{MODULES}/updates/demo.ko"


def test_modules_of_the_kernel_are_silent(make: Maker) -> None:
    needs = ("base", "more", "built_in")
    report = lint(one_module(make, module(depends=needs)), options=kernel_tree(make))
    assert codes(report) == {}
    assert "no --kernel-tree" not in unchecked(report)


@pytest.mark.parametrize(("pack", "suffix"), [(zstd, ".zst"), (xz, ".xz")])
def test_modules_for_another_build(
    make: Maker, pack: Callable[[bytes], bytes], suffix: str
) -> None:
    image = one_module(make, pack(module(magic=f"{KERNEL} SMP mod_unload ")), suffix)
    report = lint(image, options=kernel_tree(make))
    assert codes(report) == {"module-vermagic": [DEMO + suffix]}


def test_with_versions_of_symbols_the_release_does_not_count(make: Maker) -> None:
    end = " SMP preempt mod_unload modversions "
    tree = kernel_tree(make, magic=KERNEL + end)
    assert codes(lint(one_module(make, module(magic="6.0" + end)), options=tree)) == {}
    other = module(magic="6.0 SMP mod_unload modversions ")
    assert codes(lint(one_module(make, other), options=tree)) == {"module-vermagic": [DEMO]}


def test_modules_in_the_folder_of_another_kernel(make: Maker) -> None:
    image = one_module(make, module(magic="5.10 SMP "))
    assert codes(lint(image)) == {"module-vermagic": [DEMO]}


def test_modules_of_a_kernel_the_target_does_not_have(make: Maker) -> None:
    files = {"usr/lib/modules/9.9/demo.ko": module(magic="9.9 SMP ")}
    again = running("udevadm trigger", "depmod")
    image = make.image("a", {**files, **again}, release=RELOADED)
    report = lint(image, options=kernel_tree(make))
    assert codes(report) == {"module-kernel": ["/usr/lib/modules/9.9/demo.ko"]}
    assert report.findings[0].problem.endswith(f"the target has {KERNEL}")


def test_signatures_of_modules(make: Maker) -> None:
    tree = kernel_tree(make, signed=True)
    kernel, other = (make_identity(name, kind="p384") for name in ("kernel key", "other key"))
    assert codes(lint(one_module(make, module(signer=kernel)), options=tree)) == {}
    assert codes(lint(one_module(make, module()), options=tree)) == {"module-unsigned": [DEMO]}
    report = lint(one_module(make, module(signer=other)), options=tree)
    assert codes(report) == {"module-signer": [DEMO]}
    assert "CN=other key" in report.findings[0].problem


def test_modules_that_need_others(make: Maker) -> None:
    image = one_module(make, module(depends=("base", "nowhere")))
    report = lint(image, options=kernel_tree(make))
    assert codes(report) == {"module-depends": [DEMO]}
    assert "nowhere" in report.findings[0].problem


def test_a_module_that_is_none(make: Maker) -> None:
    report = lint(one_module(make, b"\x7fELF"), options=kernel_tree(make))
    assert codes(report) == {"unreadable": [DEMO]}


def test_the_bases_kernels_count_where_no_others_are_given(make: Maker) -> None:
    base = make.folder_of("base", {f"{MODULES}/kernel/base.ko": module("base")})
    image = one_module(make, module(magic=f"{KERNEL} other "))
    report = lint(image, options=LintOptions(host_root=base))
    assert codes(report) == {"module-vermagic": [DEMO]}


def test_a_kernel_tree_without_kernels(make: Maker) -> None:
    with pytest.raises(InputError, match="no kernel modules"):
        lint(
            make.image("a", {"usr/x": ""}),
            options=LintOptions(kernel_tree=make.folder_of("t", {"usr/x": ""})),
        )
