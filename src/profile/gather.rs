//! What is kept between the frames of a port: lines that make one record together.

use super::join::Joined;
use super::{Outcome, Profile, refused};
use crate::field::record::{Info, Record, Shape};
use std::collections::HashMap;
use std::sync::Arc;

/// Reads the frames of one port in their order.
#[derive(Debug, Clone)]
pub struct Reader {
    profile: Profile,
    /// The parts that came, by kind; a later one of a kind takes the place of the one before.
    parts: Vec<Record>,
    /// The parts of the message that is coming in on each branch.
    joining: HashMap<usize, Option<Vec<u8>>>,
    /// The shapes of gathered records, by those of their parts.
    shapes: HashMap<Vec<usize>, Arc<Shape>>,
}

impl Reader {
    /// A reader for the frames of one port.
    pub fn new(profile: Profile) -> Reader {
        Reader {
            profile,
            parts: Vec::new(),
            joining: HashMap::new(),
            shapes: HashMap::new(),
        }
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What the data of the next good frame mean.
    pub fn read(&mut self, branch: usize, data: &[u8], request: Option<&[u8]>) -> Outcome {
        let outcome = match self.join(branch, data) {
            None => self.profile.read(branch, data, request),
            Some(Joined::Part) => Outcome::Gathered,
            Some(Joined::Whole(whole)) => self.profile.whole(branch, &whole, request, None),
            Some(Joined::Lost(why)) => refused(why),
        };
        let Some(gather) = self.profile.gathers() else {
            return outcome;
        };
        let record = match outcome {
            Outcome::Values(record) if gather.kinds.iter().any(|kind| kind == record.kind()) => record,
            other => return other,
        };
        let closes = record.kind() == gather.until;
        match self.parts.iter_mut().find(|part| part.kind() == record.kind()) {
            Some(part) => *part = record,
            None => self.parts.push(record),
        }
        if !closes {
            return Outcome::Gathered;
        }
        let has = |kind: &String| self.parts.iter().any(|part| part.kind() == kind);
        let whole = gather.needs.iter().all(has);
        let name = gather.name.clone();
        let parts = std::mem::take(&mut self.parts);
        match whole {
            true => Outcome::Values(self.together(&name, parts)),
            false => Outcome::Gathered,
        }
    }

    /// The line was closed, or bytes were lost: what was gathered is no whole any more.
    pub fn reset(&mut self) {
        self.parts.clear();
        self.joining.clear();
    }

    /// What a frame is to a message of several; None: the device's messages are frames.
    pub(super) fn join(&mut self, branch: usize, data: &[u8]) -> Option<Joined> {
        let joint = self.profile.joint(branch)?;
        let parts = self.joining.entry(branch).or_default();
        Some(match self.profile.unpacked(branch, data) {
            Some(data) => joint.add(parts, &data),
            None => Joined::Lost("its bytes can't be unpacked"),
        })
    }

    fn together(&mut self, name: &str, parts: Vec<Record>) -> Record {
        // A shape lives as long as the profile, so its address names it.
        let key = parts
            .iter()
            .map(|part| Arc::as_ptr(part.shape()) as usize)
            .collect();
        let shape = self.shapes.entry(key).or_insert_with(|| {
            let mut infos: Vec<Info> = Vec::new();
            for info in parts.iter().flat_map(|part| part.shape().infos()) {
                if infos.iter().all(|known| known.name != info.name) {
                    infos.push(info.clone());
                }
            }
            Arc::new(Shape::new(name, infos))
        });
        let mut whole = Record::new(shape.clone());
        for part in parts {
            for entry in part.iter() {
                match whole.shape().place(&entry.info.name) {
                    Some(place) => whole.set(place, entry.value.clone(), entry.quality),
                    None => whole.push(entry.info.clone(), entry.value.clone()),
                }
            }
        }
        whole
    }
}
