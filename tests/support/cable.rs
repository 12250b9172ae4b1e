//! A cable between two devices' lines: what is sent on one end arrives at the other, and perhaps with a third who
//! listens.

use super::Device;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The ends of the cable are ports that programs open; it carries bytes until it is dropped.
pub(crate) struct Cable {
    ends: Arc<[Device; 3]>,
    cut: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Cable {
    /// A cable, carrying.
    pub(crate) fn new() -> Cable {
        let ends = Arc::new([Device::new(), Device::new(), Device::new()]);
        let cut = Arc::new(AtomicBool::new(false));
        let carrier = std::thread::spawn({
            let (ends, cut) = (ends.clone(), cut.clone());
            move || {
                while !cut.load(Ordering::Relaxed) {
                    carry(&ends);
                }
            }
        });
        Cable {
            ends,
            cut,
            carrier: Some(carrier),
        }
    }

    /// One end.
    pub(crate) fn near(&self) -> &Device {
        &self.ends[0]
    }

    /// The other end.
    pub(crate) fn far(&self) -> &Device {
        &self.ends[1]
    }

    /// A tap: whoever opens it hears both.
    pub(crate) fn tap(&self) -> &Device {
        &self.ends[2]
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.cut.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

fn carry([near, far, tap]: &[Device; 3]) {
    Device::wait_any(&[near, far], Duration::from_millis(50));
    for (from, to) in [(near, far), (far, near)] {
        let bytes = from.take();
        if !bytes.is_empty() {
            // Nobody has to be there.
            to.try_send(&bytes);
            tap.try_send(&bytes);
        }
    }
}
