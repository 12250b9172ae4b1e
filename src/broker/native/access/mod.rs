//! Who may connect and do what: users with hashed passwords, rules by topic, mosquitto's files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grants;
impl Grants {
  pub(crate) fn is_all(&self) -> bool { true }
  pub(crate) fn may_publish(&self, _: &str) -> bool { true }
  pub(crate) fn may_receive(&self, _: &str) -> bool { true }
  pub(crate) fn may_subscribe(&self, _: &str) -> bool { true }
}
