"""What an image-based Linux boots and is extended with, from source to proof.

Begin here:

* `sysgraft.build_extension` makes a signed extension image from folders, packages and archives.
* `sysgraft.inspect_image` tells what an image is.
* `sysgraft.verify_image` proves it, or says which check fails and why.
* `sysgraft.load_pair` reads a key with its certificate; `sysgraft.trust_certificate`,
  `sysgraft.trust_folder` and `sysgraft.trust_efivars` say whom to trust.
* `sysgraft.sign_image` and `sysgraft.unsign_image` exchange its root-hash signature.
* `sysgraft.compare_images` tells what is different between two images, and
  `sysgraft.extract_image` puts the files of one into a folder.
* `sysgraft.merge_orders` tells which extension lies over which.
* `sysgraft.lint_images` tells what will go wrong with a set of them on its target.
* `sysgraft.build_uki`, `sysgraft.inspect_uki`, `sysgraft.verify_uki` and `sysgraft.sign_executable`
  are the same for unified kernel images and addons.
* `sysgraft.package_uki` makes a distribution's package of a unified kernel image, and
  `sysgraft.initrd_sizes` and `sysgraft.uki_initrd_sizes` tell what takes the room in an initrd.
* `sysgraft.generate_keys` makes the keys, `sysgraft.build_disk` and `sysgraft.build_iso` put UKIs,
  boot loader, keys and extensions onto media that boot, `sysgraft.run_lab` boots the result.
* `sysgraft.index_firmware` lists what kernels ask for and what firmware there is, and
  `sysgraft.FirmwarePlanner` tells of that which firmware machines need, and why.
* `sysgraft.predict_pcrs` computes what a boot does to the TPM, `sysgraft.sign_pcr_policies` signs
  that, `sysgraft.check_pcr_signatures` tells whether a volume will unlock, and
  `sysgraft.explain_event_log` why it did not.
* `sysgraft.scan_machine` lists what a machine has and which firmware it missed,
  `sysgraft.diagnose_firmware` tells what to do about it, and `sysgraft.reprobe_devices` has drivers
  look again.
* `sysgraft.install_kernel`, `sysgraft.set_default_kernel` and `sysgraft.remove_kernel` change which
  kernels a boot partition has and which is started; `sysgraft.KernelListing` tells.
* `sysgraft.install_extension`, `sysgraft.enable_extension` and `sysgraft.upgrade_extension` change
  what a `sysgraft.Node` has for which boot entries, `sysgraft.take_inventory` lists it,
  `sysgraft.activate_extensions` hands it to systemd at boot, and `sysgraft.node_status` tells what
  came of that.
* `sysgraft.check_disk` tells what systemd will find on a disk by the types of its partitions,
  `sysgraft.retype_disk` sets them, and `sysgraft.restore_partition_tables` takes that back.

Every error for bad input is a `sysgraft.SysgraftError`; see `sysgraft.errors`. Runnable
examples are in the folder ``examples``.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sysgraft.build.extension import BuildOptions, BuildReport, build_extension
    from sysgraft.build.firmware_set.build import (
        FirmwareOptions,
        FirmwareReport,
        build_firmware,
    )
    from sysgraft.build.keyset import KeySetOptions, generate_keys
    from sysgraft.build.media.disk import build_disk
    from sysgraft.build.media.iso import build_iso
    from sysgraft.build.media.options import (
        BootImage,
        DiskOptions,
        IsoOptions,
        MediaOptions,
        PartitionFile,
    )
    from sysgraft.build.media.options import Extra as BootExtra
    from sysgraft.build.media.report import MediaReport
    from sysgraft.build.resign import sign_image, unsign_image
    from sysgraft.build.sources.model import Options as SourceOptions
    from sysgraft.build.strip.initrd import strip_initrd
    from sysgraft.build.strip.report import Keeping as StripKeeping
    from sysgraft.build.strip.report import StripReport
    from sysgraft.build.strip.root import strip_root
    from sysgraft.build.uki.build import build_uki
    from sysgraft.build.uki.options import PcrKey, UkiOptions
    from sysgraft.build.uki.report import UkiReport
    from sysgraft.build.uki_package.options import Addon as PackagedAddon
    from sysgraft.build.uki_package.options import PackageOptions, PackageReport
    from sysgraft.build.uki_package.package import package_uki
    from sysgraft.build.uki_sign import sign_executable
    from sysgraft.disk.check import CheckOptions as DiskCheckOptions
    from sysgraft.disk.check import check_disk
    from sysgraft.disk.kickstart import script as disk_kickstart
    from sysgraft.disk.report import DiskReport
    from sysgraft.disk.retype import RetypeOptions as DiskRetypeOptions
    from sysgraft.disk.retype import RetypeReport as DiskRetypeReport
    from sysgraft.disk.retype import retype as retype_disk
    from sysgraft.disk.saving import restore as restore_partition_tables
    from sysgraft.errors import SysgraftError
    from sysgraft.firmware.doctor import Diagnosis as FirmwareDiagnosis
    from sysgraft.firmware.doctor import diagnose_firmware
    from sysgraft.firmware.index import Index as FirmwareIndex
    from sysgraft.firmware.index import parse_index as parse_firmware_index
    from sysgraft.firmware.index import render_index as render_firmware_index
    from sysgraft.firmware.inventory import Machine, parse_machine, render_machine
    from sysgraft.firmware.make_index import make_index as index_firmware
    from sysgraft.firmware.plan import Planner as FirmwarePlanner
    from sysgraft.firmware.plan import PlanOptions as FirmwarePlanOptions
    from sysgraft.firmware.plan_document import Plan as FirmwarePlan
    from sysgraft.firmware.plan_document import parse_plan as parse_firmware_plan
    from sysgraft.firmware.plan_document import render_plan as render_firmware_plan
    from sysgraft.firmware.reprobe.access import this_machine
    from sysgraft.firmware.reprobe.engine import ReprobeOptions
    from sysgraft.firmware.reprobe.engine import reprobe as reprobe_devices
    from sysgraft.firmware.reprobe.report import ReprobeReport
    from sysgraft.firmware.scan import Scan as MachineScan
    from sysgraft.firmware.scan import ScanOptions, scan_machine
    from sysgraft.firmware.shelves import Shelf as FirmwareShelf
    from sysgraft.firmware.shelves import folder_shelf, host_shelf
    from sysgraft.image.difference import Difference, compare_images
    from sysgraft.image.extraction import Extraction, extract_image
    from sysgraft.image.firmware_files import firmware_of_image
    from sysgraft.image.initrd_sizes import InitrdSizes, initrd_sizes, uki_initrd_sizes
    from sysgraft.image.inspect import ImageInfo, inspect_image
    from sysgraft.image.lint.lint import LintOptions, LintReport, lint_images
    from sysgraft.image.merge_order import MergeOrder, merge_orders
    from sysgraft.image.uki_inspect import UkiInfo, inspect_uki
    from sysgraft.image.uki_verify import UkiVerification, UkiVerifyOptions, verify_uki
    from sysgraft.image.verify import Verification, VerifyOptions, verify_image
    from sysgraft.kernel.default import set_default as set_default_kernel
    from sysgraft.kernel.install import install as install_kernel
    from sysgraft.kernel.listing import Listing as KernelListing
    from sysgraft.kernel.naming import kernel_name
    from sysgraft.kernel.options import InstallOptions as KernelOptions
    from sysgraft.kernel.partition import BootOptions as BootPartitionOptions
    from sysgraft.kernel.partition import BootPartition
    from sysgraft.kernel.removal import cleanup as cleanup_kernels
    from sysgraft.kernel.removal import remove as remove_kernel
    from sysgraft.kernel.trial import bless as bless_kernel
    from sysgraft.lab.options import LabOptions
    from sysgraft.lab.report import LabReport
    from sysgraft.lab.run import run_lab
    from sysgraft.node.activate import activate as activate_extensions
    from sysgraft.node.activation import Activation
    from sysgraft.node.changes import Changes as NodeChanges
    from sysgraft.node.collect import collect as collect_extensions
    from sysgraft.node.enable import EnableOptions
    from sysgraft.node.enable import disable as disable_extension
    from sysgraft.node.enable import enable as enable_extension
    from sysgraft.node.enable import remove as remove_extension
    from sysgraft.node.fetch import FetchOptions
    from sysgraft.node.install import Installed, InstallOptions
    from sysgraft.node.install import install as install_extension
    from sysgraft.node.inventory import Inventory as NodeInventory
    from sysgraft.node.inventory import take_inventory
    from sysgraft.node.node import Node, NodeOptions
    from sysgraft.node.status import Status as NodeStatus
    from sysgraft.node.status import node_status
    from sysgraft.node.upgrade import UpgradeOptions
    from sysgraft.node.upgrade import rollback as roll_back_extension
    from sysgraft.node.upgrade import upgrade as upgrade_extension
    from sysgraft.seal.assembly import Settings as PcrSettings
    from sysgraft.seal.binding import Binding as PcrBinding
    from sysgraft.seal.binding import bindings_of as read_pcr_bindings
    from sysgraft.seal.check import CheckReport as PcrCheckReport
    from sysgraft.seal.check import check as check_pcr_signatures
    from sysgraft.seal.explanation import ExplainRequest, Explanation
    from sysgraft.seal.explanation import explain as explain_event_log
    from sysgraft.seal.policies import policies as pcr_policies
    from sysgraft.seal.policies import signed as sign_pcr_policies
    from sysgraft.seal.prediction import BootRequest
    from sysgraft.seal.prediction import Prediction as PcrPrediction
    from sysgraft.seal.prediction import predict as predict_pcrs
    from sysgraft.seal.replay import Replay
    from sysgraft.seal.replay import replay_files as replay_event_log
    from sysgraft.sign.pair import SigningPair, load_pair, load_signer
    from sysgraft.sign.verify.files import certificate as trust_certificate
    from sysgraft.sign.verify.files import efivars as trust_efivars
    from sysgraft.sign.verify.files import folder as trust_folder
    from sysgraft.sign.verify.trust import TrustStore

__version__ = "0.1.0"

# Each name with the module that holds it, and its name there: importing sysgraft loads none.
_HOMES = {
    "Activation": ("sysgraft.node.activation", "Activation"),
    "BootExtra": ("sysgraft.build.media.options", "Extra"),
    "BootImage": ("sysgraft.build.media.options", "BootImage"),
    "BootPartition": ("sysgraft.kernel.partition", "BootPartition"),
    "BootPartitionOptions": ("sysgraft.kernel.partition", "BootOptions"),
    "BootRequest": ("sysgraft.seal.prediction", "BootRequest"),
    "BuildOptions": ("sysgraft.build.extension", "BuildOptions"),
    "BuildReport": ("sysgraft.build.extension", "BuildReport"),
    "Difference": ("sysgraft.image.difference", "Difference"),
    "DiskCheckOptions": ("sysgraft.disk.check", "CheckOptions"),
    "DiskOptions": ("sysgraft.build.media.options", "DiskOptions"),
    "DiskReport": ("sysgraft.disk.report", "DiskReport"),
    "DiskRetypeOptions": ("sysgraft.disk.retype", "RetypeOptions"),
    "DiskRetypeReport": ("sysgraft.disk.retype", "RetypeReport"),
    "EnableOptions": ("sysgraft.node.enable", "EnableOptions"),
    "ExplainRequest": ("sysgraft.seal.explanation", "ExplainRequest"),
    "Explanation": ("sysgraft.seal.explanation", "Explanation"),
    "Extraction": ("sysgraft.image.extraction", "Extraction"),
    "FetchOptions": ("sysgraft.node.fetch", "FetchOptions"),
    "FirmwareDiagnosis": ("sysgraft.firmware.doctor", "Diagnosis"),
    "FirmwareIndex": ("sysgraft.firmware.index", "Index"),
    "FirmwareOptions": ("sysgraft.build.firmware_set.build", "FirmwareOptions"),
    "FirmwarePlan": ("sysgraft.firmware.plan_document", "Plan"),
    "FirmwarePlanOptions": ("sysgraft.firmware.plan", "PlanOptions"),
    "FirmwarePlanner": ("sysgraft.firmware.plan", "Planner"),
    "FirmwareReport": ("sysgraft.build.firmware_set.build", "FirmwareReport"),
    "FirmwareShelf": ("sysgraft.firmware.shelves", "Shelf"),
    "ImageInfo": ("sysgraft.image.inspect", "ImageInfo"),
    "InitrdSizes": ("sysgraft.image.initrd_sizes", "InitrdSizes"),
    "InstallOptions": ("sysgraft.node.install", "InstallOptions"),
    "Installed": ("sysgraft.node.install", "Installed"),
    "IsoOptions": ("sysgraft.build.media.options", "IsoOptions"),
    "KernelListing": ("sysgraft.kernel.listing", "Listing"),
    "KernelOptions": ("sysgraft.kernel.options", "InstallOptions"),
    "KeySetOptions": ("sysgraft.build.keyset", "KeySetOptions"),
    "LabOptions": ("sysgraft.lab.options", "LabOptions"),
    "LabReport": ("sysgraft.lab.report", "LabReport"),
    "LintOptions": ("sysgraft.image.lint.lint", "LintOptions"),
    "LintReport": ("sysgraft.image.lint.lint", "LintReport"),
    "Machine": ("sysgraft.firmware.inventory", "Machine"),
    "MachineScan": ("sysgraft.firmware.scan", "Scan"),
    "MediaOptions": ("sysgraft.build.media.options", "MediaOptions"),
    "MediaReport": ("sysgraft.build.media.report", "MediaReport"),
    "MergeOrder": ("sysgraft.image.merge_order", "MergeOrder"),
    "Node": ("sysgraft.node.node", "Node"),
    "NodeChanges": ("sysgraft.node.changes", "Changes"),
    "NodeInventory": ("sysgraft.node.inventory", "Inventory"),
    "NodeOptions": ("sysgraft.node.node", "NodeOptions"),
    "NodeStatus": ("sysgraft.node.status", "Status"),
    "PackageOptions": ("sysgraft.build.uki_package.options", "PackageOptions"),
    "PackageReport": ("sysgraft.build.uki_package.options", "PackageReport"),
    "PackagedAddon": ("sysgraft.build.uki_package.options", "Addon"),
    "PartitionFile": ("sysgraft.build.media.options", "PartitionFile"),
    "PcrBinding": ("sysgraft.seal.binding", "Binding"),
    "PcrCheckReport": ("sysgraft.seal.check", "CheckReport"),
    "PcrKey": ("sysgraft.build.uki.options", "PcrKey"),
    "PcrPrediction": ("sysgraft.seal.prediction", "Prediction"),
    "PcrSettings": ("sysgraft.seal.assembly", "Settings"),
    "Replay": ("sysgraft.seal.replay", "Replay"),
    "ReprobeOptions": ("sysgraft.firmware.reprobe.engine", "ReprobeOptions"),
    "ReprobeReport": ("sysgraft.firmware.reprobe.report", "ReprobeReport"),
    "ScanOptions": ("sysgraft.firmware.scan", "ScanOptions"),
    "SigningPair": ("sysgraft.sign.pair", "SigningPair"),
    "SourceOptions": ("sysgraft.build.sources.model", "Options"),
    "StripKeeping": ("sysgraft.build.strip.report", "Keeping"),
    "StripReport": ("sysgraft.build.strip.report", "StripReport"),
    "SysgraftError": ("sysgraft.errors", "SysgraftError"),
    "TrustStore": ("sysgraft.sign.verify.trust", "TrustStore"),
    "UkiInfo": ("sysgraft.image.uki_inspect", "UkiInfo"),
    "UkiOptions": ("sysgraft.build.uki.options", "UkiOptions"),
    "UkiReport": ("sysgraft.build.uki.report", "UkiReport"),
    "UkiVerification": ("sysgraft.image.uki_verify", "UkiVerification"),
    "UkiVerifyOptions": ("sysgraft.image.uki_verify", "UkiVerifyOptions"),
    "UpgradeOptions": ("sysgraft.node.upgrade", "UpgradeOptions"),
    "Verification": ("sysgraft.image.verify", "Verification"),
    "VerifyOptions": ("sysgraft.image.verify", "VerifyOptions"),
    "activate_extensions": ("sysgraft.node.activate", "activate"),
    "bless_kernel": ("sysgraft.kernel.trial", "bless"),
    "build_disk": ("sysgraft.build.media.disk", "build_disk"),
    "build_extension": ("sysgraft.build.extension", "build_extension"),
    "build_firmware": ("sysgraft.build.firmware_set.build", "build_firmware"),
    "build_iso": ("sysgraft.build.media.iso", "build_iso"),
    "build_uki": ("sysgraft.build.uki.build", "build_uki"),
    "check_disk": ("sysgraft.disk.check", "check_disk"),
    "check_pcr_signatures": ("sysgraft.seal.check", "check"),
    "cleanup_kernels": ("sysgraft.kernel.removal", "cleanup"),
    "collect_extensions": ("sysgraft.node.collect", "collect"),
    "compare_images": ("sysgraft.image.difference", "compare_images"),
    "diagnose_firmware": ("sysgraft.firmware.doctor", "diagnose_firmware"),
    "disable_extension": ("sysgraft.node.enable", "disable"),
    "disk_kickstart": ("sysgraft.disk.kickstart", "script"),
    "enable_extension": ("sysgraft.node.enable", "enable"),
    "explain_event_log": ("sysgraft.seal.explanation", "explain"),
    "extract_image": ("sysgraft.image.extraction", "extract_image"),
    "firmware_of_image": ("sysgraft.image.firmware_files", "firmware_of_image"),
    "folder_shelf": ("sysgraft.firmware.shelves", "folder_shelf"),
    "generate_keys": ("sysgraft.build.keyset", "generate_keys"),
    "host_shelf": ("sysgraft.firmware.shelves", "host_shelf"),
    "index_firmware": ("sysgraft.firmware.make_index", "make_index"),
    "initrd_sizes": ("sysgraft.image.initrd_sizes", "initrd_sizes"),
    "inspect_image": ("sysgraft.image.inspect", "inspect_image"),
    "inspect_uki": ("sysgraft.image.uki_inspect", "inspect_uki"),
    "install_extension": ("sysgraft.node.install", "install"),
    "install_kernel": ("sysgraft.kernel.install", "install"),
    "kernel_name": ("sysgraft.kernel.naming", "kernel_name"),
    "lint_images": ("sysgraft.image.lint.lint", "lint_images"),
    "load_pair": ("sysgraft.sign.pair", "load_pair"),
    "load_signer": ("sysgraft.sign.pair", "load_signer"),
    "merge_orders": ("sysgraft.image.merge_order", "merge_orders"),
    "node_status": ("sysgraft.node.status", "node_status"),
    "package_uki": ("sysgraft.build.uki_package.package", "package_uki"),
    "parse_firmware_index": ("sysgraft.firmware.index", "parse_index"),
    "parse_firmware_plan": ("sysgraft.firmware.plan_document", "parse_plan"),
    "parse_machine": ("sysgraft.firmware.inventory", "parse_machine"),
    "pcr_policies": ("sysgraft.seal.policies", "policies"),
    "predict_pcrs": ("sysgraft.seal.prediction", "predict"),
    "read_pcr_bindings": ("sysgraft.seal.binding", "bindings_of"),
    "remove_extension": ("sysgraft.node.enable", "remove"),
    "remove_kernel": ("sysgraft.kernel.removal", "remove"),
    "render_firmware_index": ("sysgraft.firmware.index", "render_index"),
    "render_firmware_plan": ("sysgraft.firmware.plan_document", "render_plan"),
    "render_machine": ("sysgraft.firmware.inventory", "render_machine"),
    "replay_event_log": ("sysgraft.seal.replay", "replay_files"),
    "reprobe_devices": ("sysgraft.firmware.reprobe.engine", "reprobe"),
    "restore_partition_tables": ("sysgraft.disk.saving", "restore"),
    "retype_disk": ("sysgraft.disk.retype", "retype"),
    "roll_back_extension": ("sysgraft.node.upgrade", "rollback"),
    "run_lab": ("sysgraft.lab.run", "run_lab"),
    "scan_machine": ("sysgraft.firmware.scan", "scan_machine"),
    "set_default_kernel": ("sysgraft.kernel.default", "set_default"),
    "sign_executable": ("sysgraft.build.uki_sign", "sign_executable"),
    "sign_image": ("sysgraft.build.resign", "sign_image"),
    "sign_pcr_policies": ("sysgraft.seal.policies", "signed"),
    "strip_initrd": ("sysgraft.build.strip.initrd", "strip_initrd"),
    "strip_root": ("sysgraft.build.strip.root", "strip_root"),
    "take_inventory": ("sysgraft.node.inventory", "take_inventory"),
    "this_machine": ("sysgraft.firmware.reprobe.access", "this_machine"),
    "trust_certificate": ("sysgraft.sign.verify.files", "certificate"),
    "trust_efivars": ("sysgraft.sign.verify.files", "efivars"),
    "trust_folder": ("sysgraft.sign.verify.files", "folder"),
    "uki_initrd_sizes": ("sysgraft.image.initrd_sizes", "uki_initrd_sizes"),
    "unsign_image": ("sysgraft.build.resign", "unsign_image"),
    "upgrade_extension": ("sysgraft.node.upgrade", "upgrade"),
    "verify_image": ("sysgraft.image.verify", "verify_image"),
    "verify_uki": ("sysgraft.image.uki_verify", "verify_uki"),
}

__all__ = [
    "Activation",
    "BootExtra",
    "BootImage",
    "BootPartition",
    "BootPartitionOptions",
    "BootRequest",
    "BuildOptions",
    "BuildReport",
    "Difference",
    "DiskCheckOptions",
    "DiskOptions",
    "DiskReport",
    "DiskRetypeOptions",
    "DiskRetypeReport",
    "EnableOptions",
    "ExplainRequest",
    "Explanation",
    "Extraction",
    "FetchOptions",
    "FirmwareDiagnosis",
    "FirmwareIndex",
    "FirmwareOptions",
    "FirmwarePlan",
    "FirmwarePlanOptions",
    "FirmwarePlanner",
    "FirmwareReport",
    "FirmwareShelf",
    "ImageInfo",
    "InitrdSizes",
    "InstallOptions",
    "Installed",
    "IsoOptions",
    "KernelListing",
    "KernelOptions",
    "KeySetOptions",
    "LabOptions",
    "LabReport",
    "LintOptions",
    "LintReport",
    "Machine",
    "MachineScan",
    "MediaOptions",
    "MediaReport",
    "MergeOrder",
    "Node",
    "NodeChanges",
    "NodeInventory",
    "NodeOptions",
    "NodeStatus",
    "PackageOptions",
    "PackageReport",
    "PackagedAddon",
    "PartitionFile",
    "PcrBinding",
    "PcrCheckReport",
    "PcrKey",
    "PcrPrediction",
    "PcrSettings",
    "Replay",
    "ReprobeOptions",
    "ReprobeReport",
    "ScanOptions",
    "SigningPair",
    "SourceOptions",
    "StripKeeping",
    "StripReport",
    "SysgraftError",
    "TrustStore",
    "UkiInfo",
    "UkiOptions",
    "UkiReport",
    "UkiVerification",
    "UkiVerifyOptions",
    "UpgradeOptions",
    "Verification",
    "VerifyOptions",
    "activate_extensions",
    "bless_kernel",
    "build_disk",
    "build_extension",
    "build_firmware",
    "build_iso",
    "build_uki",
    "check_disk",
    "check_pcr_signatures",
    "cleanup_kernels",
    "collect_extensions",
    "compare_images",
    "diagnose_firmware",
    "disable_extension",
    "disk_kickstart",
    "enable_extension",
    "explain_event_log",
    "extract_image",
    "firmware_of_image",
    "folder_shelf",
    "generate_keys",
    "host_shelf",
    "index_firmware",
    "initrd_sizes",
    "inspect_image",
    "inspect_uki",
    "install_extension",
    "install_kernel",
    "kernel_name",
    "lint_images",
    "load_pair",
    "load_signer",
    "merge_orders",
    "node_status",
    "package_uki",
    "parse_firmware_index",
    "parse_firmware_plan",
    "parse_machine",
    "pcr_policies",
    "predict_pcrs",
    "read_pcr_bindings",
    "remove_extension",
    "remove_kernel",
    "render_firmware_index",
    "render_firmware_plan",
    "render_machine",
    "replay_event_log",
    "reprobe_devices",
    "restore_partition_tables",
    "retype_disk",
    "roll_back_extension",
    "run_lab",
    "scan_machine",
    "set_default_kernel",
    "sign_executable",
    "sign_image",
    "sign_pcr_policies",
    "strip_initrd",
    "strip_root",
    "take_inventory",
    "this_machine",
    "trust_certificate",
    "trust_efivars",
    "trust_folder",
    "uki_initrd_sizes",
    "unsign_image",
    "upgrade_extension",
    "verify_image",
    "verify_uki",
]


def __getattr__(name: str) -> object:
    """Load a public name at its first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  start-up stays free of it

    module, attribute = home
    return getattr(import_module(module), attribute)
