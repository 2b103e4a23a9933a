"""Logs and listings of machines, for the tests of several rooms."""

from __future__ import annotations

# The messages of the published example: before the extension was merged, and after a re-plug.
BEFORE = """\
[   49.065898] rtw_8821au 1-4:1.0: Direct firmware load for rtw88/rtw8821a_fw.bin failed with error -2
[   49.065904] rtw_8821au 1-4:1.0: failed to request firmware
[   49.077725] rtw_8821au 1-4:1.0: failed to load firmware
[   49.077933] rtw_8821au 1-4:1.0: failed to setup chip efuse info
[   49.078480] rtw_8821au 1-4:1.0: probe with driver rtw_8821au failed with error -22
"""  # noqa: E501
AFTER = """\
[ 1753.117758] usb 1-4: new high-speed USB device number 4 using xhci_hcd
[ 1753.244128] rtw_8821au 1-4:1.0: Firmware version 42.4.0, H2C version 0
[ 1753.893615] rtw_8821au 1-4:1.0 wlxec750c0937b1: renamed from wlan0
"""

LSPCI = """\
0000:00:14.3 Network controller [0280]: Intel Corporation Wi-Fi 6 AX201 [8086:a0f0] (rev 20)
\tSubsystem: Intel Corporation Device [8086:0074]
\tFlags: bus master, fast devsel, latency 0, IRQ 16
\tKernel driver in use: iwlwifi
\tKernel modules: iwlwifi, wl

0000:00:0d.0 USB controller [0c03]: Intel Corporation Device [8086:9a13] (prog-if 30 [XHCI])
\tKernel driver in use: xhci_hcd
"""

MACHINE_FORM = """\
Slot:\t00:14.3
Class:\tNetwork controller [0280]
Vendor:\tIntel Corporation [8086]
Device:\tWi-Fi 6 AX201 [a0f0]
SVendor:\tIntel Corporation [8086]
SDevice:\tDevice [0074]
Rev:\t20
Driver:\tiwlwifi
Module:\tiwlwifi
Module:\twl
"""

LSUSB = """\

Bus 001 Device 003: ID 2357:011e TP-Link AC600 wireless Realtek RTL8811AU [Archer T2U Nano]
Couldn't open device, some information will be missing
Device Descriptor:
  bLength                18
  bDescriptorType         1
  bcdUSB               2.00
  bDeviceClass            0
  bDeviceSubClass         0
  bDeviceProtocol         0
  bMaxPacketSize0        64
  idVendor           0x2357 TP-Link
  idProduct          0x011e AC600
  bcdDevice            2.00
  iSerial                 3 00e04c000001
  Configuration Descriptor:
    bConfigurationValue     1
    Interface Descriptor:
      bInterfaceNumber        0
      bAlternateSetting       0
      bInterfaceClass       255 Vendor Specific Class
      bInterfaceSubClass    255 Vendor Specific Subclass
      bInterfaceProtocol    255 Vendor Specific Protocol
      Endpoint Descriptor:
        bInterval               0
    Interface Descriptor:
      bInterfaceNumber        0
      bAlternateSetting       1
      bInterfaceClass         1 Audio
  Configuration Descriptor:
    bConfigurationValue     2
    Interface Descriptor:
      bInterfaceNumber        0
      bAlternateSetting       0
      bInterfaceClass         3 Human Interface Device
Device Qualifier (for other device speed):
  bDeviceClass            9
"""

UDEV = """\
P: /devices/pci0000:00/0000:00:14.3
E: DEVPATH=/devices/pci0000:00/0000:00:14.3
E: SUBSYSTEM=pci
E: DRIVER=iwlwifi
E: MODALIAS=pci:v1
E: ID_SERIAL=secret

P: /devices/virtual/net/lo
E: DEVPATH=/devices/virtual/net/lo
E: SUBSYSTEM=net

E: MODALIAS=nowhere
"""
