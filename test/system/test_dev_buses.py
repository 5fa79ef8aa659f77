"""USB and PCI controllers, and network cards on them: where each sits in the guest, that frames pass, and that they go again."""
import re

from harness import limit, wait_until

# Models and the guest's drivers.
CARDS = {"virtio-net-pci": "virtio_net", "e1000e": "e1000e", "e1000": "e1000", "rtl8139": "8139cp", "vmxnet3": "vmxnet3",
         "pcnet": "pcnet32", "tulip": "tulip", "ne2k_pci": "ne2k-pci", "usb-net": "cdc_subset", "i82559er": "e100"}
CONTROLLERS = {"nec-usb-xhci": "xhci_hcd", "usb-ehci": "ehci-pci", "piix3-usb-uhci": "uhci_hcd"}
COLD = {"pci0": "memory=64G", "pcie0": "memory=1G memory_low=64M io=8K", "pcie1": "model=x3130 ports=3", "pcie3": "",
        "pcie2": "model=x3130 controller=pcie3", "usb4": "model=ich9-usb-ehci", "usb5": "model=ich9-usb-uhci", "usb6": "model=pci-ohci ports=5"}
# Card, the part it sits on, its model: conventional ones behind the bridge, the others behind ports and switches.
PLACES = [("nic1", "pci0", "e1000"), ("nic2", "pcie0", "virtio-net-pci"), ("nic3", "pcie1", "virtio-net-pci"), ("nic4", "pcie2", "e1000e")]


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def known(daemon, name):
    """Its row of `device ls` as soon as the guest says something of it."""
    return wait_until(lambda: (row := device(daemon, name)) and row.get("guest") and row, 60, f"the guest knows {name}")


def add(daemon, kind, name, *words):
    daemon.hostler("device", "add", "vm", kind, name, *words)
    return known(daemon, name)


def remove(daemon, name):
    row = device(daemon, name)
    daemon.hostler("device", "rm", "vm", name)
    assert device(daemon, name) is None
    if row.get("address"):
        listed = daemon.guest("vm", "sh", "-c", f"lspci -D -s {row['address']}")
        assert listed == "", listed


def path(daemon, address):
    """Addresses of the bridges above a PCI function as the guest sees them, and its own."""
    link = daemon.guest("vm", "readlink", "-f", f"/sys/bus/pci/devices/{address}")
    return re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", link)


def frames_pass(daemon, row):
    """The gateway of user-mode networking answers through this very card."""
    interface = row["guest"].split()[0]
    wait_until(lambda: daemon.run("exec", "vm", "--", "ping", "-c", "1", "-W", "2", "-I", interface, "10.0.2.2").returncode == 0, 60,
               f"{row['name']} ({row['model']}) reaches the gateway")
    return interface


# ---- live ----

def check_card(daemon, model, driver):
    row = add(daemon, "nic", "card", f"model={model}")
    assert row["guest"].split()[1] == driver and row["live"] and row["state"] == "attached", row
    interface = frames_pass(daemon, row)
    if model != "usb-net":  # there the driver makes an address of its own
        found = daemon.guest("vm", "cat", f"/sys/class/net/{interface}/address")
        assert found == daemon.show("vm")["spec"]["card"]["mac"], row
    if model == "usb-net":
        assert "cannot save" in daemon.refused(1, "suspend", "vm")
    if model == "i82559er":  # QEMU would not survive the next reset
        daemon.hostler("device", "rm", "vm", "card")
        assert device(daemon, "card")["state"] == "going"
        return
    remove(daemon, "card")
    wait_until(lambda: interface not in daemon.guest("vm", "ls", "/sys/class/net").split(), 30, f"{interface} is gone")


def check_properties(daemon):
    row = add(daemon, "nic", "virtio", "mtu=1400", "rx_queue=1024", "tx_checksumming=off", "rx_checksumming=off")
    interface = frames_pass(daemon, row)
    assert daemon.guest("vm", "cat", f"/sys/class/net/{interface}/mtu") == "1400"
    assert daemon.run("exec", "vm", "--", "ip", "link", "set", interface, "mtu", "1500").returncode != 0, "a larger packet is refused"
    assert re.search(r"RX:\s+1024", daemon.guest("vm", "ethtool", "-g", interface))
    features = daemon.guest("vm", "cat", f"/sys/class/net/{interface}/device/features")
    assert features[0] == "0" and features[1] == "0", f"neither VIRTIO_NET_F_CSUM nor _GUEST_CSUM: {features}"
    remove(daemon, "virtio")
    assert "does not carry" in daemon.refused(2, "device", "add", "vm", "nic", "tx_checksumming=on")
    assert "only virtio-net-pci" in daemon.refused(2, "device", "add", "vm", "nic", "model=e1000", "mtu=1400")


def check_controller(daemon, model, driver):
    """A controller, and a keyboard that lies behind it."""
    row = add(daemon, "usb", "ctl", f"model={model}")
    assert row["guest"] == driver and row["live"], row
    keyboard = add(daemon, "input", "keys", "model=usb-kbd", "controller=ctl")
    assert keyboard["place"] == "ctl 1" and keyboard["guest"] == "QEMU QEMU USB Keyboard", keyboard
    found = daemon.guest("vm", "sh", "-c", "for d in /sys/bus/usb/devices/*; do [ \"$(cat $d/serial)\" != keys ] || readlink -f $d; done")
    assert row["address"] in found, found
    remove(daemon, "keys")
    remove(daemon, "ctl")


# ---- with the next start ----

def add_cold(daemon):
    for name, words in COLD.items():
        kind = name.rstrip("0123456789")
        row = next(row for row in daemon.json("device", "add", "vm", kind, name, *words.split()) if row["name"] == name)
        assert row["state"] == "pending" and not row["live"], row
    for name, controller, kind, model in [("tablet", "usb4", "input", "usb-tablet"), ("mouse", "usb6", "input", "usb-mouse"),
                                          ("nic9", "pci0", "nic", "rtl8139")]:
        row = daemon.json("device", "add", "vm", kind, name, f"controller={controller}", f"model={model}")[0]
        assert row["state"] == "pending", row
    pending = daemon.show("vm")["status"]["pending"]
    assert set(COLD) <= set(pending), pending


def check_usb(daemon):
    drivers = {"usb4": "ehci-pci", "usb5": "uhci_hcd", "usb6": "ohci-pci"}
    for name, driver in drivers.items():
        row = known(daemon, name)
        assert row["guest"] == driver and row["state"] == "attached", row
    slot = device(daemon, "usb4")["address"][:-1]
    functions = daemon.guest("vm", "sh", "-c", f"lspci -D -s {slot.rstrip('.')}").splitlines()
    assert len(functions) == 4, f"three companions and the master: {functions}"
    assert known(daemon, "tablet")["guest"] == "QEMU QEMU USB Tablet"
    assert known(daemon, "mouse")["guest"] == "QEMU QEMU USB Mouse"
    assert "ohci-pci/5p" in daemon.guest("vm", "lsusb", "-t")


def check_windows(daemon):
    port = daemon.guest("vm", "lspci", "-vv", "-s", device(daemon, "pcie0")["address"])
    assert re.search(r"I/O behind bridge: .*\[size=8K\]", port), port
    assert re.search(r"\n\s*Memory behind bridge: .*\[size=64M\]", port), port
    assert re.search(r"Prefetchable memory behind bridge: .*\[size=1G\]", port), port
    windows = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : PCI Bus 0000:00", daemon.guest("vm", "cat", "/proc/iomem"), re.M)
    assert max(int(end, 16) + 1 - int(start, 16) for start, end in windows) == 64 << 30, windows


def check_places(daemon):
    """Cards come and go live behind the bridge, an added port, and two switches."""
    bridges = {name: device(daemon, name)["address"] for name in COLD if name.startswith("pci")}
    assert path(daemon, bridges["pcie2"])[0] == bridges["pcie3"]
    assert path(daemon, device(daemon, "nic9")["address"])[0] == bridges["pci0"]
    for name, controller, model in PLACES:
        row = add(daemon, "nic", name, f"model={model}", f"controller={controller}")
        assert bridges[controller] in path(daemon, row["address"])[:-1], (row, path(daemon, row["address"]))
        frames_pass(daemon, row)
    row = add(daemon, "usb", "usb8", "controller=pcie1")
    assert bridges["pcie1"] in path(daemon, row["address"])[:-1], row
    assert add(daemon, "input", "keys", "model=usb-kbd", "controller=usb8")["place"] == "usb8 1"
    assert "one place" in daemon.refused(2, "device", "add", "vm", "nic", "controller=pcie0")
    assert "does not fit" in daemon.refused(2, "device", "add", "vm", "nic", "model=e1000e", "controller=pci0")
    assert "sits on pci0" in daemon.refused(4, "device", "rm", "vm", "pci0")


def check_saved(daemon):
    """A VM comes back from disk with each of them where it was."""
    tree = daemon.guest("vm", "sh", "-c", "lspci -tnn; lsusb -t; ls -l /sys/class/net")
    daemon.hostler("suspend", "vm", timeout=180)
    daemon.hostler("resume", "vm", timeout=180)
    wait_until(lambda: daemon.run("exec", "vm", "--", "true").returncode == 0, 60, "the agent answers again")
    assert daemon.guest("vm", "sh", "-c", "lspci -tnn; lsusb -t; ls -l /sys/class/net") == tree
    for name, _, _ in PLACES:
        frames_pass(daemon, known(daemon, name))


def check_removed(daemon):
    for name in ["keys", "usb8", *(name for name, _, _ in PLACES)]:
        remove(daemon, name)
    remove(daemon, "nic9")
    daemon.hostler("device", "rm", "vm", "pci0")
    assert device(daemon, "pci0")["state"] == "going"


@limit(400)
def test_controllers_and_cards():
    from harness import Daemon
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "--memory", "320M", image="tiny-full", timeout=300)
        for model, driver in CARDS.items():
            check_card(daemon, model, driver)
        check_properties(daemon)
        for model, driver in CONTROLLERS.items():
            check_controller(daemon, model, driver)
        add_cold(daemon)
        daemon.hostler("stop", "--hard", "vm")
        daemon.hostler("start", "vm", "--wait", "agent", timeout=300)
        check_usb(daemon)
        check_windows(daemon)
        check_places(daemon)
        check_saved(daemon)
        check_removed(daemon)
