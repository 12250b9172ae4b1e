//! The few calls to a terminal's driver that rustix has no name for.

use rustix::fd::AsFd;
use rustix::io;
use rustix::ioctl::{Getter, Opcode, Setter, ioctl};
use std::ffi::{c_char, c_int, c_uchar, c_uint, c_ulong, c_ushort};

#[cfg(any(
    target_arch = "mips",
    target_arch = "mips64",
    target_arch = "powerpc",
    target_arch = "powerpc64"
))]
compile_error!("the numbers in this file are those of Linux' asm-generic/ioctls.h");

const TIOCMGET: Opcode = 0x5415;
const TIOCMSET: Opcode = 0x5418;
const TIOCOUTQ: Opcode = 0x5411;
const TIOCGSERIAL: Opcode = 0x541E;
const TIOCSSERIAL: Opcode = 0x541F;

const TIOCM_DTR: c_int = 0x002;
const TIOCM_RTS: c_int = 0x004;

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
