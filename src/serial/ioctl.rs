//! The few calls to a terminal's driver that rustix has no name for.

use rustix::fd::AsFd;
use rustix::io;
use rustix::ioctl::{Getter, NoArg, Opcode, Setter, Updater, ioctl};
use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ushort};

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64"
))]
compile_error!("the numbers in this file are those of Linux' asm-generic/ioctls.h");

const TIOCMGET: Opcode = 0x5415;
const TIOCMBIS: Opcode = 0x5416;
const TIOCMBIC: Opcode = 0x5417;
const TIOCMSET: Opcode = 0x5418;
const TIOCOUTQ: Opcode = 0x5411;
const TIOCGSERIAL: Opcode = 0x541E;
const TIOCSSERIAL: Opcode = 0x541F;
const TIOCSBRK: Opcode = 0x5427;
const TIOCCBRK: Opcode = 0x5428;
const TIOCGRS485: Opcode = 0x542E;
const TIOCSRS485: Opcode = 0x542F;
const TIOCSERGETLSR: Opcode = 0x5459;

const TIOCM_DTR: c_int = 0x002;
const TIOCM_RTS: c_int = 0x004;

/// Linux' serial.h: the transmitter is empty, its shift register too.
const TIOCSER_TEMT: c_uint = 0x01;

/// Linux' tty_flags.h: `1 << ASYNCB_LOW_LATENCY`.
const ASYNC_LOW_LATENCY: c_int = 1 << 13;

/// `struct serial_struct` of linux/serial.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Serial {
    kind: c_int,
    line: c_int,
    port: c_uint,
    irq: c_int,
    flags: c_int,
    xmit_fifo_size: c_int,
    custom_divisor: c_int,
    baud_base: c_int,
    close_delay: c_ushort,
    io_type: c_char,
    reserved: c_char,
    hub6: c_int,
    closing_wait: c_ushort,
    closing_wait2: c_ushort,
    iomem_base: *mut c_uchar,
    iomem_reg_shift: c_ushort,
    port_high: c_uint,
    iomap_base: c_ulong,
}

/// `struct serial_rs485` of linux/serial.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rs485 {
    pub(super) flags: u32,
    /// Milliseconds (`delay_rts_before_send`).
    pub(super) before: u32,
    /// Milliseconds (`delay_rts_after_send`).
    pub(super) after: u32,
    pub(super) rest: [u32; 5],
}

impl Rs485 {
    pub(super) const ENABLED: u32 = 1 << 0;
    pub(super) const RTS_ON_SEND: u32 = 1 << 1;
    pub(super) const RTS_AFTER_SEND: u32 = 1 << 2;
    pub(super) const RX_DURING_TX: u32 = 1 << 4;

    pub(super) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }
}

/// How the driver turns an RS-485 line.
pub(super) fn rs485(fd: impl AsFd) -> io::Result<Rs485> {
    // SAFETY: TIOCGRS485 fills in one serial_rs485, for which zeroed memory is a value, too.
    unsafe { ioctl(&fd, Getter::<TIOCGRS485, Rs485>::new()) }
}

/// Has the driver turn an RS-485 line so.
pub(super) fn set_rs485(fd: impl AsFd, to: &Rs485) -> io::Result<()> {
    let mut copy = *to;
    // SAFETY: TIOCSRS485 reads one serial_rs485, and writes what it has made of it to the same place.
    unsafe { ioctl(&fd, Updater::<TIOCSRS485, Rs485>::new(&mut copy)) }
}

/// Moves RTS alone, at once.
pub(super) fn set_rts(fd: impl AsFd, asserted: bool) -> io::Result<()> {
    // SAFETY: TIOCMBIS and TIOCMBIC read one int.
    match asserted {
        true => unsafe { ioctl(&fd, Setter::<TIOCMBIS, c_int>::new(TIOCM_RTS)) },
        false => unsafe { ioctl(&fd, Setter::<TIOCMBIC, c_int>::new(TIOCM_RTS)) },
    }
}

/// Holds the line at 0, a break, or lets it go. Where a driver has no such thing, the kernel says yes all the same.
pub(super) fn set_break(fd: impl AsFd, held: bool) -> io::Result<()> {
    // SAFETY: TIOCSBRK and TIOCCBRK take no argument.
    match held {
        true => unsafe { ioctl(&fd, NoArg::<TIOCSBRK>::new()) },
        false => unsafe { ioctl(&fd, NoArg::<TIOCCBRK>::new()) },
    }
}

/// Whether the transmitter is empty, its last bit sent; `None`: this driver doesn't tell.
pub(super) fn is_empty(fd: impl AsFd) -> io::Result<Option<bool>> {
    // SAFETY: TIOCSERGETLSR fills in one unsigned int.
    match unsafe { ioctl(&fd, Getter::<TIOCSERGETLSR, c_uint>::new()) } {
        Ok(state) => Ok(Some(state & TIOCSER_TEMT != 0)),
        Err(io::Errno::IO) => Err(io::Errno::IO),
        Err(_) => Ok(None),
    }
}

/// Sets DTR and RTS, both at the same moment; `None` leaves a line as it is.
pub(super) fn set_lines(fd: impl AsFd, dtr: Option<bool>, rts: Option<bool>) -> io::Result<()> {
    // SAFETY: TIOCMGET fills in one int.
    let old = unsafe { ioctl(&fd, Getter::<TIOCMGET, c_int>::new()) }?;
    let mut new = old;
    for (line, level) in [(TIOCM_DTR, dtr), (TIOCM_RTS, rts)] {
        match level {
            Some(true) => new |= line,
            Some(false) => new &= !line,
            None => {}
        }
    }
    // SAFETY: TIOCMSET reads one int.
    unsafe { ioctl(&fd, Setter::<TIOCMSET, c_int>::new(new)) }
}

/// Asks for low latency; whether the driver took it.
pub(super) fn ask_low_latency(fd: impl AsFd) -> bool {
    // SAFETY: TIOCGSERIAL fills in one serial_struct, for which zeroed memory is a value, too.
    let serial = || unsafe { ioctl(&fd, Getter::<TIOCGSERIAL, Serial>::new()) };
    let set = |serial: &Serial| serial.flags & ASYNC_LOW_LATENCY != 0;
    let Ok(mut wanted) = serial() else { return false };
    if set(&wanted) {
        return true;
    }
    wanted.flags |= ASYNC_LOW_LATENCY;
    // SAFETY: TIOCSSERIAL reads one serial_struct.
    let asked = unsafe { ioctl(&fd, Setter::<TIOCSSERIAL, Serial>::new(wanted)) };
    asked.is_ok() && serial().is_ok_and(|now| set(&now))
}

/// How many bytes were written and have not left yet.
pub(super) fn queued(fd: impl AsFd) -> io::Result<usize> {
    // SAFETY: TIOCOUTQ fills in one int.
    let count = unsafe { ioctl(&fd, Getter::<TIOCOUTQ, c_int>::new()) }?;
    Ok(usize::try_from(count).unwrap_or(0))
}
