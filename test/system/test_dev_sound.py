"""Sound cards and sound chips: seen by ALSA or found at their ports, played from inside the guest, and heard in the recording of the right one."""
import concurrent.futures
import io
import math
import pathlib
import re
import struct
import wave

from harness import Daemon, limit, wait_until
from spice import Listener

RATE = 48000
PLAYED_RATE = 44100  # the one that the ES1370's divider makes exactly
# A tone of its own for each card, none a harmonic of another.
TONES = {"sound0": 440, "sound1": 550, "sound2": 620, "sound3": 730, "sound4": 850}
AMPLITUDE = 12000


def tone(hertz, seconds=1.0):
    """A WAV file."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setparams((2, 2, PLAYED_RATE, 0, "NONE", ""))
        samples = (round(AMPLITUDE * math.sin(2 * math.pi * hertz * i / PLAYED_RATE)) for i in range(int(PLAYED_RATE * seconds)))
        file.writeframes(b"".join(struct.pack("<hh", sample, sample) for sample in samples))
    return data.getvalue()


def strength(samples, hertz):
    """Goertzel's algorithm: the amplitude of one frequency."""
    factor, before, last = 2 * math.cos(2 * math.pi * hertz / RATE), 0.0, 0.0
    for sample in samples:
        before, last = last, sample + factor * last - before
    return math.sqrt(max(before * before + last * last - factor * before * last, 0)) * 2 / len(samples)


def recording(daemon, name):
    """The left channel of what is in the recording @name, as a well-formed WAV file."""
    path = daemon.folder / f"{name}.wav"
    daemon.hostler("device", "read", "vm", name, "-w", path)
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (2, 2, RATE), file.getparams()
        frames = file.readframes(file.getnframes())
        assert path.stat().st_size == 44 + len(frames), "the header tells the length of the file"
    return [sample[0] for sample in struct.iter_unpack("<hh", frames)]


def loudest(samples, length=RATE // 2):
    """The half second that has most in it: a loaded machine leaves gaps."""
    pieces = [samples[i:i + length] for i in range(0, max(len(samples) - length, 0) + 1, length // 2)]
    return max(pieces, key=lambda piece: sum(map(abs, piece)), default=[])


def hears(daemon, name, hertz, others=()):
    samples = loudest(recording(daemon, name))
    if len(samples) < RATE // 10:
        return False
    mine = strength(samples, hertz)
    return mine > 300 and all(mine > 10 * strength(samples, other) for other in others if other != hertz)


def device(daemon, name):
    return next((row for row in daemon.json("device", "ls", "vm") if row["name"] == name), None)


def card_of(daemon, name):
    """Number of the part's card in the guest, by what `device ls` has from there."""
    row = wait_until(lambda: (row := device(daemon, name)) and row.get("guest") and row, 60, f"the guest has a card for {name}")
    return re.match(r"card(\d+): ", row["guest"])[1], row


def play(daemon, card, hertz):
    path = daemon.folder / "tone.wav"
    path.write_bytes(tone(hertz))
    daemon.hostler("cp", path, "vm:/tmp/tone.wav")
    # Cards begin muted.
    daemon.guest("vm", "sh", "-c", f"amixer -c {card} scontrols | sed -n \"s/.*'\\(.*\\)',.*/\\1/p\" | while read c; do"
                 f" amixer -q -c {card} sset \"$c\" 100% unmute; done 2>/dev/null; aplay -q -D plughw:{card} /tmp/tone.wav", timeout=60)


def check_card(daemon, name, description, audio):
    card, row = card_of(daemon, name)
    assert description in row["guest"], row
    assert f" {card} [" in daemon.guest("vm", "cat", "/proc/asound/cards")
    play(daemon, card, TONES[name])
    others = [*TONES.values()]
    wait_until(lambda: hears(daemon, audio, TONES[name], others), 30, f"{TONES[name]} Hz of {name} are in {audio}")
    return row


# ---- ports ----

PORTS = r"""
outb() { printf "\\$(printf %03o $2)" | dd of=/dev/port bs=1 seek=$(($1)) conv=notrunc 2>/dev/null; }
inb() { dd if=/dev/port bs=1 skip=$(($1)) count=1 2>/dev/null | hexdump -v -e '1/1 "%02x\n"'; }
"""


def ports(daemon, script):
    return daemon.guest("vm", "sh", "-c", PORTS + script).split()


def check_sound_blaster(daemon, second=True):
    """Reset and version of the DSP, then what its mixer says of interrupt and channels: 5; 1 and 5."""
    said = ports(daemon, "outb 0x226 1; outb 0x226 0; inb 0x22a; outb 0x22c 0xe1; inb 0x22a; inb 0x22a;"
                 "outb 0x224 0x80; inb 0x225; outb 0x224 0x81; inb 0x225")
    assert said == ["aa", "04", "05", "02", "22"], said
    if not second:
        return
    said = ports(daemon, "outb 0x286 1; outb 0x286 0; inb 0x28a; outb 0x284 0x80; inb 0x285; outb 0x284 0x81; inb 0x285")
    assert said == ["aa", "08", "48"], said


def check_ultrasound(daemon):
    """Bytes at both ends of its own megabyte."""
    poke = "outb 0x343 0x43; outb 0x344 {low}; outb 0x345 {middle}; outb 0x343 0x44; outb 0x345 {high}; "
    first, last = poke.format(low=0x10, middle=0, high=0), poke.format(low=0xff, middle=0xff, high=0x0f)
    said = ports(daemon, f"{first} outb 0x347 0x55; {last} outb 0x347 0xaa; {first} inb 0x347; {last} inb 0x347")
    assert said == ["55", "aa"], said


def check_codec(daemon):
    assert ports(daemon, "outb 0x534 12; inb 0x535") == ["8a"]


OPL = "o() { outb 0x388 $1; outb 0x389 $2; }; "


def check_adlib(daemon):
    """Its timer, by which programs have always looked for it; then a note: 408 * 49716 / 2^16 = 309.5 Hz."""
    said = ports(daemon, OPL + "o 4 0x60; o 4 0x80; inb 0x388; o 2 0xff; o 4 0x21; sleep 1; inb 0x388; o 4 0x60; o 4 0x80")
    assert [int(byte, 16) & 0xe0 for byte in said] == [0, 0xc0], said
    ports(daemon, OPL + "o 0x20 1; o 0x40 0x3f; o 0x60 0xf0; o 0x80 0x77; o 0xa0 0x98; o 0x23 0x21; o 0x43 0; o 0x63 0xf0; o 0x83 0x77; o 0xb0 0x31")
    wait_until(lambda: hears(daemon, "opl", 309.5, [440, 620, 1000]), 30, "the note is in its recording")


# ---- the tests ----

COLD = ["audio0.model=wav", "audio1.model=wav", "audio2.model=wav", "audio3.model=wav", "audio4.model=wav", "audio4.memory=64K",
        "audio7.model=none", "opl.kind=audio",
        "opl.model=wav", "sound0.model=intel-hda", "sound0.audio=audio0", "sound1.model=ich9-intel-hda", "sound1.codec=output",
        "sound1.audio=audio1", "dsp0.audio=none", "dsp1.model=gus", "dsp1.dma=7", "dsp1.audio=none", "dsp2.model=adlib", "dsp2.audio=opl", "dsp2.freq=8000",
        "dsp3.model=cs4231a", "dsp3.dma=0", "dsp3.audio=none", "dsp4.iobase=0x280", "dsp4.irq=10", "dsp4.dma=3", "dsp4.dma16=6", "dsp4.audio=none"]
# The shortest buffer with which no sound is lost.
HOT = [("sound2", "ac97", "Intel 82801AA-ICH", "audio2", []), ("sound3", "es1370", "Ensoniq AudioPCI", "audio3", []),
       ("sound4", "usb-audio", "QEMU USB Audio", "audio4", ["memory=3840"])]


def check_hot(daemon, name, model, description, audio, words):
    """Added live; of itself it takes the first recording that no other card has."""
    added = daemon.json("device", "add", "vm", "sound", name, "--model", model, *words)
    assert [row["state"] for row in added] == ["attached"] * len(added), added
    assert daemon.show("vm")["spec"][name]["audio"] == audio
    row = check_card(daemon, name, description, audio)
    assert row["live"] and row["state"] == "attached", row


def check_silence(daemon):
    """Without an audio part a card plays as fast as any other, and is heard by nobody."""
    daemon.hostler("device", "add", "vm", "sound", "mute", "audio=none")
    card, _ = card_of(daemon, "mute")
    play(daemon, card, 440)
    daemon.hostler("device", "rm", "vm", "mute")


def check_bound(daemon):
    """As much is kept as `memory` says, and that is the last that was played."""
    card, _ = card_of(daemon, "sound4")
    play(daemon, card, 990)
    wait_until(lambda: hears(daemon, "audio4", 990, [TONES["sound4"]]), 30, "the last tone is kept")
    files = sorted(daemon.state.glob("vms/*/audio4.pcm*"))
    sizes = [path.stat().st_size for path in files]
    assert [path.name for path in files] == ["audio4.pcm", "audio4.pcm.1"] and 24 << 10 <= sum(sizes) <= 64 << 10, (files, sizes)


def check_refusals(daemon):
    assert "each is for one card" in daemon.refused(2, "device", "add", "vm", "sound", "audio=audio0")
    assert "sound0 sits on audio0" in daemon.refused(4, "device", "rm", "vm", "audio0")
    assert "its audio part's" in daemon.refused(2, "set", "vm", "sound2.memory=19200")
    assert "5, 7, 9, 10" in daemon.refused(2, "set", "vm", "dsp0.irq=11")
    assert "has no memory" in daemon.refused(2, "set", "vm", "dsp0.memory=1M")
    assert device(daemon, "audio0")["host"] == "recording" and not device(daemon, "audio7").get("host")
    assert "nothing that audio7 puts out is kept" in daemon.refused(1, "device", "read", "vm", "audio7")
    message = daemon.refused(1, "suspend", "vm")
    assert "usb-audio" in message and "adlib" in message, message


def check_pending(daemon):
    """What QEMU takes only at its start waits for that, and a card for its audio part."""
    assert device(daemon, "dsp0")["state"] == "attached" and not device(daemon, "dsp0")["live"]
    daemon.hostler("device", "add", "vm", "audio", "later", "--model", "wav")
    daemon.hostler("device", "add", "vm", "sound", "last", "audio=later")
    assert [device(daemon, name)["state"] for name in ("later", "last")] == ["pending"] * 2
    daemon.hostler("device", "rm", "vm", "last")
    daemon.hostler("device", "rm", "vm", "later")
    assert device(daemon, "later") is None


def check_again(daemon):
    """One card after the other on one audio part: both are in a file that is still well-formed."""
    daemon.hostler("device", "add", "vm", "sound", "again", "--model", "es1370")
    assert daemon.show("vm")["spec"]["again"]["audio"] == "audio2"
    card, _ = card_of(daemon, "again")
    before = len(recording(daemon, "audio2"))
    play(daemon, card, 990)
    wait_until(lambda: len(recording(daemon, "audio2")) > before + RATE // 4, 30, "more is in the recording")
    samples = recording(daemon, "audio2")
    assert strength(loudest(samples[before:]), 990) > 300 and strength(loudest(samples[:before]), TONES["sound2"]) > 300
    assert b"WAVE" not in (daemon.folder / "audio2.wav").read_bytes()[44:]


def check_gone(daemon, name, description):
    daemon.hostler("device", "rm", "vm", name)
    assert device(daemon, name) is None
    wait_until(lambda: description not in daemon.guest("vm", "cat", "/proc/asound/cards"), 30, f"{name} has left the guest")


@limit(300)
def test_sound_cards_and_chips():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "--memory", "320M", *COLD, image="tiny-full", timeout=300)
        check_card(daemon, "sound0", "HDA Intel", "audio0")
        check_card(daemon, "sound1", "HDA Intel", "audio1")
        check_sound_blaster(daemon)
        check_ultrasound(daemon)
        check_codec(daemon)
        check_adlib(daemon)
        for hot in HOT:
            check_hot(daemon, *hot)
        check_silence(daemon)
        check_bound(daemon)
        check_refusals(daemon)
        check_pending(daemon)
        for name, _, description, *_ in HOT:
            check_gone(daemon, name, description)
        check_again(daemon)
        daemon.hostler("stop", "--hard", "vm")
        assert hears(daemon, "audio0", TONES["sound0"], [*TONES.values()]), "a recording stays when the VM is off"


@limit(300)
def test_sound_goes_on_after_a_suspend():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "--memory", "256M", "audio0.model=wav", "sound0.model=ac97", "sound1.model=intel-hda", "dsp0.audio=none",
                      image="tiny-full", timeout=300)
        spec = daemon.show("vm")["spec"]
        assert (spec["sound0"]["audio"], spec["sound1"]["audio"]) == ("audio0", "none"), spec
        check_card(daemon, "sound0", "Intel 82801AA-ICH", "audio0")
        daemon.hostler("suspend", "vm")
        daemon.hostler("resume", "vm")
        assert not hears(daemon, "audio0", TONES["sound0"]), "a recording is of one run"
        check_card(daemon, "sound0", "Intel 82801AA-ICH", "audio0")
        check_sound_blaster(daemon, second=False)


def check_spice(daemon, hertz):
    card, _ = card_of(daemon, "sound0")
    listener = Listener(device(daemon, "audio0")["host"])
    with concurrent.futures.ThreadPoolExecutor() as pool:
        heard = pool.submit(listener.listen, RATE // 2)
        play(daemon, card, hertz)
        samples = heard.result()
    listener.close()
    mine = strength(samples, hertz)
    assert mine > 300 and all(mine > 10 * strength(samples, other) for other in (330, 1000)), mine


@limit(300)
def test_a_spice_client_hears_the_guest():
    with Daemon(images=("tiny-full",)) as daemon:
        daemon.create("vm", "--memory", "256M", "audio0.model=spice", "sound0.model=ac97", image="tiny-full", timeout=300)
        assert "a VM has one SPICE server" in daemon.refused(2, "set", "vm", "audio1.model=spice")
        assert "is held there" in daemon.refused(2, "set", "vm", "audio0.memory=64K")
        check_spice(daemon, 440)
        daemon.hostler("suspend", "vm")
        daemon.hostler("resume", "vm")
        check_spice(daemon, 620)


def test_players_that_the_host_lacks_are_said():
    """Instead of QEMU's death; ALSA's own empty device needs no card."""
    with Daemon(images=()) as daemon:
        daemon.hostler("create", "vm", "--memory", "64M", "audio0.model=pulse", "audio0.server=/nowhere", "sound0.kind=sound")
        message = daemon.refused(1, "start", "vm")
        assert "no PulseAudio driver" in message or "no PulseAudio server at /nowhere" in message, message
        daemon.hostler("set", "vm", "audio0.server=", "audio0.model=alsa")
        if not list(pathlib.Path("/dev").glob("snd/pcm*p")):
            message = daemon.refused(1, "start", "vm")
            assert "audio0: the host has no sound card" in message and "model=wav" in message, message
        assert daemon.power("vm") == "off"
        daemon.hostler("set", "vm", "audio0.device=null", "audio0.memory=1920000")
        daemon.hostler("start", "vm")
        log = next(daemon.state.glob("vms/*/qemu.log")).read_text()
        assert "audio" not in log and "alsa" not in log, log
